"""Ceilings beside a network's scores: drawn anew without sources, in the headline table, and a leak that is seen."""

import dataclasses

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import MICROWAVE_FRACTIONS, DataConfig
from clusterjax.data.sources import open_source
from clusterjax.evaluation.curves import auc, auc_difference
from clusterjax.evaluation.headline import Observer, binary_headline
from clusterjax.jobs import ceilings, reporting
from clusterjax.report.cells import headline_cells, headline_notes
from clusterjax.simulation.knobs import MicrowaveSky
from tfds_builders.microwave_cutouts.microwave_cutouts_dataset_builder import make_builder
from tfds_builders.simulated_example import simulate_example

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    config = DataConfig(
        builder="microwave_cutouts", data_dir=str(tmp_path_factory.mktemp("data")), num_processes=1, num_train=4,
        num_validation=4, num_test=120, simulated_size=24, object_fractions=dict(MICROWAVE_FRACTIONS),
    )  # fmt: skip
    made = make_builder(config, MicrowaveSky(radio_in_clusters=0.3))
    made.download_and_prepare()
    return made


@pytest.fixture(scope="module")
def scored(builder):
    """(the test split's table with ceilings, its images)."""
    source = open_source(builder, "test")
    records = [source[i] for i in range(len(source))]
    types = np.array(builder.info.features["object_type"].names)
    table = Table({name: [record[name] for record in records] for name in ("label", "redshift", "object_id")})
    table["object_type"] = types[[record["object_type"] for record in records]]
    table["index"] = np.arange(len(table))
    images = np.stack([record["image"] for record in records])
    ceilings.add_ceilings(builder, table, lambda observer: observer(images))
    return table, images


def test_drawn_anew_without_sources(builder, scored):
    images = scored[1]
    rows = [17, 3, 40]
    bare, _ = builder.without_sources("test", rows)
    again = simulate_example(
        "test", 17, seed=0, sky=builder.builder_config.sky, object_fractions=MICROWAVE_FRACTIONS, size=24
    )
    np.testing.assert_array_equal(images[17], again["image"])
    difference = images[rows] - bare
    difference -= np.median(difference, axis=(1, 2), keepdims=True)
    assert (np.median(np.abs(difference), axis=(1, 2, 3)) < 0.1 * bare.std(axis=(1, 2, 3))).all()
    assert (difference != 0).any(axis=(1, 2, 3)).all()


def test_columns(scored):
    table, _ = scored
    ratio, bound = (np.asarray(table[name]) for name in (ceilings.RATIO, ceilings.BOUND))
    assert np.isfinite(ratio).all()
    rows = ceilings.on_random_sky(table)
    assert set(table["object_type"][rows]) == {"cluster", "random"}
    np.testing.assert_array_equal(np.isnan(bound), ~rows)
    certain = np.isinf(bound)
    assert 0 < certain.sum() < rows.sum() / 2  # a third of the clusters have a radio galaxy of their own
    assert (table["object_type"][certain] == "cluster").all()
    label = np.asarray(table["label"])[rows]
    assert auc(label, bound[rows]) > auc(label, ratio[rows]) - 0.02 > 0.85


def test_rows_of_the_headline(scored):
    table, _ = scored
    label = np.asarray(table["label"])
    observers = [Observer("net", np.asarray(table[ceilings.RATIO]) / 50, 0.0), Observer("filter", label - 0.5, 0.0)]
    whole = binary_headline(label, observers)
    headline = ceilings.with_ceilings(whole, table, observers)
    assert headline["observer"].tolist()[3:] == [
        "net", "filter", "Bayes likelihood ratio", "source-free bound",
        "net − filter", "net − Bayes likelihood ratio", "net − source-free bound",
    ]  # fmt: skip
    rows = ceilings.on_random_sky(table)
    bound = np.asarray(table[ceilings.BOUND])[rows]
    assert headline["auc"][:3].tolist() == whole["auc"].tolist()
    assert headline["auc"][6] == auc(label[rows], bound)
    expected = auc_difference(label[rows], observers[0].score[rows], bound)
    assert (headline["auc"][9], headline["auc_error"][9]) == expected
    # Even odds of the log-ratio and the classes' numbers together.
    odds = np.mean(label[rows] == 1) / np.mean(label[rows] == 0)
    assert headline["accuracy"][6] == np.mean((bound + np.log(odds) >= 0) == label[rows])
    shown = headline_cells(headline)[1]
    assert [row.name.endswith("†") for row in shown] == [False] * 3 + [True] * 7
    assert headline_notes(shown)[0].startswith("† clusters and random sky among these draws")


def test_a_leak_is_flagged(scored, capsys):
    table, _ = scored
    table = table.copy()
    label = np.asarray(table["label"])
    table["score"] = 1 / (1 + np.exp(-np.asarray(table[ceilings.RATIO])))
    honest = ceilings.ceiling_figures(table)["ceilings"]
    assert not honest["leak_suspected"]
    assert honest["num_cutouts"] == ceilings.on_random_sky(table).sum()
    assert honest["auc"] == pytest.approx(honest["auc_likelihood_ratio"], abs=1e-3)
    assert "warning" not in capsys.readouterr().err
    table[ceilings.BOUND] = np.random.default_rng(0).normal(size=len(table))
    table["score"] = 0.4 + 0.2 * label
    leaking = ceilings.ceiling_figures(table)["ceilings"]
    assert leaking["leak_suspected"]
    assert "something in the data gives the labels away" in capsys.readouterr().err
    (warning,) = reporting.leak_warnings({"ceilings": leaking})
    assert warning.startswith("Of clusters against random sky the network's AUC is 0.")
    for metrics in (None, {}, {"ceilings": honest}):
        assert reporting.leak_warnings(metrics) == []


def test_where_there_is_no_bound(builder, scored, capsys):
    """Beams that nobody knows, sides that cannot be halved, only one class; and skies without a likelihood."""
    table = scored[0]["label", "object_type", "index"]
    config = builder.builder_config
    unknown = {"beam_error": 0.1}, {"cirrus_scatter": 0.5}
    for change in (*({"sky": MicrowaveSky(**knobs)} for knobs in unknown), {"simulated_size": 23}):
        changed = dataclasses.replace(config, **change)
        other = type("Builder", (), {"builder_config": changed, "info": builder.info})
        ceilings.add_ceilings(other, table, len)
        assert "no ceilings: they need" in capsys.readouterr().err
    ceilings.add_ceilings(builder, table[table["label"] == 0], len)
    assert "no ceilings" in capsys.readouterr().err
    no_sky = type("Builder", (), {"builder_config": object(), "info": builder.info})
    ceilings.add_ceilings(no_sky, table, len)
    assert ceilings.BOUND not in table.colnames
    assert ceilings.ceiling_figures(table) == {}
    assert ceilings.with_ceilings(table, table, []) is table
