"""Spectroscopic and photometric redshifts apart."""

import dataclasses

import made_up
import numpy as np
import pytest

from clusterjax.evaluation.breakdown import recall_in_bins
from clusterjax.report.redshift_kinds import LEAST_TO_BIN, redshift_kind_blocks
from clusterjax.report.theme import LIGHT


@pytest.fixture
def predictions():
    """Half of the clusters have a spectrum, a third a photometric redshift, the rest is not known."""
    made = made_up.predictions(800)
    made.table["redshift_kind"] = np.resize(["spec", "phot", "spec", "unknown", "phot", "spec"], 800)
    return made


def test_each_kind_has_a_curve_of_its_own(predictions):
    figure, *tables = redshift_kind_blocks(predictions, predictions.label)
    for block, kind in zip(tables, ("spec", "phot"), strict=True):
        rows = np.asarray(predictions.table["redshift_kind"]) == kind
        num = int(np.sum(predictions.label[rows]))
        expected = recall_in_bins(
            np.asarray(predictions.table["redshift"], float)[rows],
            predictions.label[rows],
            predictions.column("score")[rows],
            num_quantiles=min(10, num // 10),
        )
        assert np.sum(block.table["num"]) == num
        np.testing.assert_array_equal(block.table["num_recovered"], expected["num_recovered"])
        np.testing.assert_array_equal(block.table["recall_low"], expected["recall_low"])
    drawn = figure.draw(theme=LIGHT)
    assert [text.get_text() for text in drawn.axes[0].get_legend().get_texts()] == ["spectroscopic", "photometric"]


def test_nothing_without_kinds_or_with_too_few(predictions):
    plain = made_up.predictions(100)
    assert redshift_kind_blocks(plain, plain.label) == []
    few = np.full(800, "unknown", "U8")
    few[np.flatnonzero(predictions.label)[: LEAST_TO_BIN - 1]] = "spec"
    predictions.table["redshift_kind"] = few
    assert redshift_kind_blocks(predictions, predictions.label) == []
    few[np.flatnonzero(predictions.label)[:LEAST_TO_BIN]] = "spec"
    predictions.table["redshift_kind"] = few
    assert len(redshift_kind_blocks(predictions, predictions.label)) == 2
    nowhere = dataclasses.replace(predictions, table=predictions.table.copy())
    nowhere.table["redshift"] = np.nan
    assert redshift_kind_blocks(nowhere, nowhere.label) == []
