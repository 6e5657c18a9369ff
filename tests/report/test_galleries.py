"""Which cutouts are shown and what is said of each."""

import made_up
import numpy as np
from astropy.table import Table

from clusterjax.report.contents import Predictions
from clusterjax.report.galleries import choose_examples, gallery_blocks, make_gallery


def predictions():
    table = Table(
        {
            "label": [1, 1, 0, 0],
            "score": np.array([0.9, 0.2, 0.8, 0.1], np.float32),
            "object_type": ["cluster", "cluster", "bright_star", "random"],
            "redshift": [0.5, 1.2, np.nan, np.nan],
            "m500c_msun": [2e14, 3.14e14, np.nan, np.nan],
        }
    )
    return Predictions(table, ("other", "cluster"))


def test_binary_groups_and_captions():
    made = predictions()
    groups = choose_examples(made)
    assert {name: rows.tolist() for name, rows in groups.items()} == {
        "false_negative": [1],
        "false_positive": [2],
        "true_positive": [0],
        "true_negative": [3],
        "uncertain": [1, 2, 0, 3],
    }
    assert next(iter(groups)) == "false_negative"  # mistakes first
    images = np.zeros((1, 8, 8, 2), np.float32)
    assert make_gallery(made, "false_negative", groups["false_negative"], images).captions == [
        "cluster · 0.200\nz 1.20, 3.1×10¹⁴ M☉"
    ]
    alarm = make_gallery(made, "false_positive", groups["false_positive"], images)
    assert alarm.captions == ["bright star · 0.800"]
    assert "“cluster”" in alarm.description


def test_multiclass_groups_name_what_was_taken_for_what():
    made = made_up.images_report().predictions
    groups = choose_examples(made, num=3)
    row = int(groups["wrong"][0])
    true, called = made_up.CLASSES[made.label[row]], made_up.CLASSES[int(made.probabilities[row].argmax())]
    gallery = make_gallery(made, "wrong", groups["wrong"], np.zeros((3, 4, 4, 3)))
    assert gallery.captions[0] == f"{true} → {called} · {made.probabilities[row].max():.2f}"
    assert true != called


def test_galleries_share_one_stretch():
    made = predictions()
    dim, bright = np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8, 1))
    dim[0, 4, 4], bright[0, 4, 4] = 1, 100
    missed = make_gallery(made, "false_negative", np.array([1]), dim)
    found = make_gallery(made, "true_positive", np.array([0]), bright)
    blocks = gallery_blocks([missed, found], natural=False)
    assert blocks[0].thumbnails[0].png != blocks[1].thumbnails[0].png
    assert gallery_blocks([], natural=False) == []
