"""The headline table: rows, distances and their paired errors."""

import numpy as np
import pytest

from clusterjax.evaluation.binary import binary_metrics
from clusterjax.evaluation.headline import (
    INFRARED_HARD_MOCK,
    Ceiling,
    Observer,
    binary_headline,
    multiclass_headline,
)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    shared = rng.normal(size=400)
    network = 1 / (1 + np.exp(-3 * (label - 0.5) - shared))
    count = 10 + 4 * label + 2 * shared + 2 * rng.normal(size=400)
    redshift = np.where(label == 1, rng.uniform(0.1, 1.6, 400), np.nan)
    return label, network, count, redshift


def test_rows_and_distances(drawn):
    label, network, count, redshift = drawn
    observers = [Observer("net", network), Observer("count", count, 12.0)]
    table = binary_headline(label, observers, redshift=redshift, ceiling=INFRARED_HARD_MOCK)
    assert table["kind"].tolist() == ["measured", "measured", "distance", "published", "distance"]
    assert table["draws"].tolist() == ["these", "these", "these", "other", "other"]
    ours, theirs = binary_metrics(label, network), binary_metrics(label, count, threshold=12.0)
    for name in ("accuracy", "auc", "precision", "recall", "f1", "f2", "fpr", "average_precision"):
        assert table[name][0] == ours[name]
        assert table[name][1] == theirs[name]
        assert table[name][2] == pytest.approx(ours[name] - theirs[name])
    assert table["accuracy"][3] == 0.919
    assert table["accuracy"][4] == pytest.approx(ours["accuracy"] - 0.919)
    assert np.isnan(table["precision"][3:]).all()
    far = redshift > 1.1
    assert table["recall_high_redshift"][0] == np.mean(network[far] >= 0.5)


def test_paired_error_is_mcnemars(drawn):
    """The variance of a paired difference is ((b + c) - (b - c)^2 / n) / n^2 (McNemar 1947), up to n / (n - 1)."""
    label, network, count, _ = drawn
    table = binary_headline(label, [Observer("net", network), Observer("count", count, 12.0)])
    first, second = (network >= 0.5) == label, (count >= 12.0) == label
    b, c, n = np.sum(first & ~second), np.sum(~first & second), len(label)
    expected = np.sqrt(((b + c) - (b - c) ** 2 / n) / (n * (n - 1)))
    assert table["accuracy_error"][2] == pytest.approx(expected)
    separate = np.hypot(table["accuracy_error"][0], table["accuracy_error"][1])
    assert table["accuracy_error"][2] < separate
    assert "recall_high_redshift" not in table.colnames


def test_padding_changes_nothing(drawn):
    label, network, count, redshift = drawn
    valid = np.concatenate([np.ones(400, bool), np.zeros(3, bool)])
    plain = binary_headline(label, [Observer("a", network), Observer("b", count, 12.0)], redshift=redshift)
    nan = np.full(3, np.nan)
    padded = binary_headline(
        np.append(label, [1, 1, 1]),
        [Observer("a", np.append(network, nan)), Observer("b", np.append(count, nan), 12.0)],
        redshift=np.append(redshift, nan),
        valid=valid,
    )
    for name in plain.colnames:
        np.testing.assert_array_equal(plain[name], padded[name])


def test_without_clusters_at_high_redshift(drawn):
    label, network, _, redshift = drawn
    table = binary_headline(
        label, [Observer("net", network)], redshift=redshift / 4, ceiling=Ceiling("ceiling", {"accuracy": 0.9})
    )
    assert "recall_high_redshift" not in table.colnames
    assert table["observer"].tolist() == ["net", "ceiling", "net − published"]


def test_many_classes():
    label = np.array([0, 0, 0, 1, 2, 2])
    probabilities = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    table = multiclass_headline("net", label, probabilities, ("a", "b", "c"))
    np.testing.assert_allclose(table["accuracy"], [5 / 6, 1 / 2, 1 / 3])
    np.testing.assert_allclose(table["balanced_accuracy"], [(2 / 3 + 1 + 1) / 3, 1 / 3, (2 / 3 + 2) / 3 - 1 / 3])
    assert table["macro_auc"][1] == 0.5
    gain = np.array([0, 0, -1, 1, 1, 1])  # against calling everything "a"
    assert table["accuracy_error"][2] == pytest.approx(gain.std(ddof=1) / np.sqrt(6))
