"""The job explain: what its config may say, and maps of the network's input on the pixels of the cutouts."""

import numpy as np
import pytest

from clusterjax.config import DataConfig, ExperimentConfig, ExplainConfig
from clusterjax.config_checks import validate
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.errors import InputError
from clusterjax.jobs.examples import _plane
from clusterjax.jobs.explaining import _check_filters, _evaluation_of, on_cutout_pixels
from clusterjax.training.layers_within import MapLayer

RNG = np.random.default_rng(0)
METADATA = {"band_statistics": fit_band_statistics(RNG.normal(size=(5000, 1)), ["w1"]).to_dict()}


def preprocess(**options):
    return Preprocess.from_metadata(DataConfig(**options), METADATA)


@pytest.mark.parametrize(
    ("options", "input_side", "seen"),
    [
        ({}, 40, slice(0, 40)),
        ({"centre_pixels": 20}, 20, slice(10, 30)),
        ({"centre_pixels": 20, "input_size": 60}, 60, slice(10, 30)),
        ({"background_pixels": 5}, 36, slice(2, 38)),
    ],
)
def test_maps_lie_where_the_network_sees(options, input_side, seen):
    """What the network is given of a blob, mapped back, is on the blob."""
    image = np.zeros((1, 40, 40, 1), np.float32)
    image[0, 14:17, 22:25] = 100
    made = preprocess(subtract_median=False, **options)
    inputs = made(image)
    assert inputs.shape[1] == input_side
    placed = on_cutout_pixels(inputs[..., 0], made, (40, 40))
    known = np.zeros((40, 40), bool)
    known[seen, seen] = True
    np.testing.assert_array_equal(np.isfinite(placed[0]), known)
    assert np.unravel_index(np.nanargmax(placed[0]), (40, 40)) in {(y, x) for y in (14, 15, 16) for x in (22, 23, 24)}
    total = np.nansum(on_cutout_pixels(inputs[..., 0], made, (40, 40), is_density=True))
    assert total == pytest.approx(inputs.sum(), rel=1e-3)


def test_a_coarse_map_covers_the_cutout():
    coarse = np.array([[[1.0, 0], [0, 0]]])
    placed = on_cutout_pixels(coarse, preprocess(), (40, 40))[0]
    assert placed[:10, :10].min() == 1
    assert placed[30:, 30:].max() == 0
    assert np.all(np.diff(placed[0]) <= 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_cutouts": 0}, r"config.explain.num_cutouts=0 must be above 0"),
        ({"num_steps": 0}, r"config.explain.num_steps=0 must be above 0"),
        ({"baseline": "black"}, r"config.explain.baseline='black' is unknown; use one of 'average', 'empty'"),
        ({"filters": (3, -1)}, r"config.explain.filters=\(3, -1\) must be 0 or above"),
        ({"plane_columns": ("extent",)}, r"config.explain.plane_columns=\('extent',\) must be two columns"),
    ],
)
def test_wrong_settings_are_named(fields, message):
    with pytest.raises(InputError, match=message):
        validate(ExperimentConfig(explain=ExplainConfig(**fields)))


def test_filters_and_columns_that_are_not_there():
    with pytest.raises(InputError, match=r"filters has 9; layer a has filters 0 to 3"):
        _check_filters(ExplainConfig(filters=(1, 9)), [MapLayer("a", (8, 8, 4))])
    config = ExperimentConfig(explain=ExplainConfig(plane_columns=("extent", "redshift")))
    with pytest.raises(InputError, match=r"plane_columns has 'extent'; the predictions of this data set have label, z"):
        _plane(config, ["label", "z"])
    assert _plane(config, ["extent", "redshift"]) == ("extent", "redshift")
    assert _plane(ExperimentConfig(), ["redshift", "m500c_msun"]) == ("redshift", "m500c_msun")
    assert _plane(ExperimentConfig(), ["redshift"]) is None


def test_what_was_not_evaluated_is_not_explained(tmp_path):
    message = r"no evaluation of checkpoints/7 in .*; run --job=evaluate first"
    with pytest.raises(InputError, match=message):
        _evaluation_of("checkpoints/7", tmp_path)
    metrics = tmp_path / "evaluation" / "metrics.json"
    metrics.parent.mkdir()
    metrics.write_text('{"made_from": {"checkpoint": "checkpoints/6"}}')
    with pytest.raises(InputError, match=message):
        _evaluation_of("checkpoints/7", tmp_path)
    assert _evaluation_of("checkpoints/6", tmp_path)["made_from"]["checkpoint"] == "checkpoints/6"
