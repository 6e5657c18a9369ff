"""Numbers as text."""

import numpy as np
import pytest

from clusterjax.report.cells import column_name, format_value, sexagesimal


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (np.nan, "", "–"),
        (None, "", "–"),
        (np.ma.masked, "", "–"),
        (np.inf, "", "inf"),
        (np.bool_(True), "", "yes"),
        (np.int64(12345), "num", "12,345"),
        (np.int64(1234567), "object_id", "1234567"),
        (np.float32(0.125), "", "0.125"),
        (3.2e14, "m500c_msun", "3.20"),
        (2e-4, "learning_rate", "2.00e-04"),
        (0.0, "", "0.000"),
        (-5.5, "dec_deg", "−5.50000"),
        (0.99994, "score", "0.9999"),
        (b"agn", "object_type", "agn"),
        ("bright_star", "object_type", "bright star"),
    ],
)
def test_format_value(value, name, text):
    assert format_value(value, name) == text


def test_column_names():
    assert column_name("false_per_deg2") == "false per deg²"
    assert column_name("area_arcmin2") == "area / arcmin²"
    assert column_name("separation_arcmin") == "separation / arcmin"
    assert column_name("recall_low") == "recall low"


def test_sexagesimal_positions():
    """The Crab pulsar and Sgr A*, as published."""
    assert sexagesimal(83.63308, 22.01450) == "05 34 31.9 +22 00 52"
    assert sexagesimal(266.41684, -29.00781) == "17 45 40.0 −29 00 28"
