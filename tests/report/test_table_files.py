"""Tables as files read back as what they were."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clusterjax.report.table_files import write_table_files

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=6)
# astropy takes outer blanks off, and these words for numbers or for nothing, whoever wrote the file
PLAIN_TEXTS = TEXTS.filter(lambda text: text.strip() == text and text.split() == [text])


def round_trip(folder, table):
    assert write_table_files(folder / "it", table) == ["it.ecsv", "it.csv"]
    return Table.read(folder / "it.ecsv"), Table.read(folder / "it.csv", format="ascii.csv")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.floats(), st.floats(width=32), st.integers(-(2**40), 2**40), PLAIN_TEXTS, st.booleans()),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_every_value_comes_back(tmp_path, rows):
    names, types = ("x", "y32", "n", "text", "flag"), (float, np.float32, np.int64, str, bool)
    table = Table(rows=rows, names=names, dtype=types)
    table["x"].unit = "deg"
    again, plain = round_trip(tmp_path, table)
    assert again["x"].unit == "deg"
    for name in names:
        assert again[name].dtype.kind == table[name].dtype.kind
        np.testing.assert_array_equal(again[name], table[name])
    assert plain.colnames == list(names)
    np.testing.assert_array_equal(np.asarray(plain["n"], np.int64), table["n"])


def test_what_is_missing_or_of_several_dimensions(tmp_path):
    table = Table({"m": MaskedColumn([1, 2, 3], mask=[False, True, False]), "s": ["x", 'a "b", c', "d"]})
    again, _ = round_trip(tmp_path, table)
    assert again["m"].mask.tolist() == [False, True, False]
    assert again["m"].dtype == np.int64
    assert again["s"].tolist() == ["x", 'a "b", c', "d"]
    table = Table({"v": np.arange(6.0).reshape(2, 3)})
    with pytest.raises(ValueError, match="dimension > 1"):  # CSV has no such columns
        write_table_files(tmp_path / "v", table)


def test_no_rows(tmp_path):
    again, plain = round_trip(tmp_path, Table({"x": np.zeros(0), "s": np.zeros(0, "U3")}))
    assert len(again) == len(plain) == 0
    assert again.colnames == plain.colnames == ["x", "s"]
