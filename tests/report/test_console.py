"""The headline table as text."""

import numpy as np
from astropy.table import Table

from clusterjax.report.console import headline_text, paths_text


def test_columns_are_aligned_and_distances_signed():
    table = Table(
        {
            "observer": ["net", "aperture count", "net − aperture count", "published"],
            "kind": ["measured", "measured", "distance", "published"],
            "draws": ["these", "these", "these", "other"],
            "accuracy": [0.9212, 0.88, 0.0412, 0.919],
            "accuracy_error": [0.0042, 0.005, 0.004, np.nan],
            "recall": [0.9, 0.91, -0.01, np.nan],
        }
    )
    assert headline_text(table).splitlines() == [
        "                            Accuracy  Recall",
        "--------------------------------------------",
        "net                    0.921 ± 0.004   0.900",
        "aperture count         0.880 ± 0.005   0.910",
        "net − aperture count  +0.041 ± 0.004  −0.010",
        "published *            0.919               –",
        "* other draws of the same task; between draws accuracy moves by 0.006, AUC by 0.003",
    ]


def test_paths():
    assert paths_text({"report": "a/index.html", "map": "b.fits"}) == "report  a/index.html\nmap     b.fits"
    assert paths_text({}) == ""
