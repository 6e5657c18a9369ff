"""Who finds what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterjax.evaluation.found_by import count_found_by, found_by


def test_groups_of_two_observers():
    calls = {"net": np.array([True, True, False, False]), "filter": np.array([True, False, True, False])}
    groups, group = found_by(calls)
    assert groups == ["both", "net only", "filter only", "none"]
    assert group.tolist() == [0, 1, 2, 3]


def test_one_observer():
    groups, group = found_by({"net": np.array([True, False])})
    assert (groups, group.tolist()) == (["net", "missed"], [0, 1])


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=60))
def test_counts_are_those_of_the_rows(rows):
    label, first, second = np.array(rows, bool).reshape(-1, 3).T
    table = count_found_by(label.astype(int), {"a": first, "b": second})
    for chosen, name in ((label, "positives"), (~label, "others")):
        expected = [np.sum(chosen & x) for x in (first & second, first & ~second, ~first & second, ~first & ~second)]
        assert table[f"num_{name}"].tolist() == expected
        if chosen.any():
            assert np.sum(table[f"fraction_of_{name}"]) == pytest.approx(1)
            assert np.all(table[f"fraction_of_{name}_low"] <= table[f"fraction_of_{name}"] + 1e-12)
            assert np.all(table[f"fraction_of_{name}_high"] >= table[f"fraction_of_{name}"] - 1e-12)
