"""The observer's place, box and scale."""

import numpy as np
import pytest

from clusterjax.evaluation.matched_filter import central_snr, fit_matched_filter


def first_band(images):
    """Stands for a filter whose S/N is the first band itself."""
    return images[..., 0]


@pytest.mark.parametrize(("size", "inside", "outside"), [(64, (30, 33), (29, 34)), (63, (30, 32), (29, 33))])
def test_the_best_within_a_pixel_of_the_centre(size, inside, outside):
    for y in (*inside, *outside):
        images = np.zeros((2, size, size, 1))
        images[1, y, size // 2, 0] = 5.0
        assert central_snr(first_band, images).tolist() == [0.0, 5.0 if y in inside else 0.0]


def test_scores_are_probabilities_of_the_training_mix():
    """S/N of mean 0 or 3: the best logistic is that of two Gaussians of equal variance, slope 3, even odds at 1.5."""
    rng = np.random.default_rng(0)
    label = np.arange(6000) % 2
    images = np.zeros((6000, 3, 3, 1))
    images += (rng.normal(size=6000) + 3 * label)[:, None, None, None]
    observer = fit_matched_filter(first_band, images, label)
    assert observer.slope == pytest.approx(3, rel=0.06)
    assert observer.intercept / observer.slope == pytest.approx(-1.5, abs=0.06)
    scores = observer(images)
    assert ((scores > 0) & (scores < 1)).all()
    assert scores[label == 1].mean() == pytest.approx(1 - scores[label == 0].mean(), abs=0.02)


@pytest.mark.parametrize("label", [0, 1])
def test_both_labels_are_needed(label):
    with pytest.raises(ValueError, match="with and without clusters"):
        fit_matched_filter(first_band, np.zeros((4, 8, 8, 1)), np.full(4, label))
