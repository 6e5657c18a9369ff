"""The matched filter as the network's input: the sky's filter on cutouts, and the same in a scan."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from clusterjax.config import DataConfig, ExperimentConfig, ModelConfig
from clusterjax.config_checks import validate
from clusterjax.data.preprocess import Preprocess
from clusterjax.data.statistics import fit_band_statistics
from clusterjax.errors import InputError
from clusterjax.filter_channels import with_matched_filters
from clusterjax.recipes import any_network, infrared_from_scratch, microwave_from_scratch
from clusterjax.search.scan import scan_map
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.cutouts import simulate_cutout
from clusterjax.simulation.microwave.filters import TEMPLATE_REDSHIFT, matched_filter, template_mass_msun
from clusterjax.simulation.microwave.maps import simulate_map

BANDS = ("f090", "f150", "f220")
SIZES = (1.5, 3.0)


def make_config(**data):
    data = {"builder": "microwave_cutouts", "matched_filter_arcmin": SIZES, "centre_pixels": 32, **data}
    return ExperimentConfig(data=DataConfig(**data), model=ModelConfig("cnn_mlp"))


def builder_of(images, units="uK_CMB", bands=BANDS):
    """What is asked of a TFDS builder."""
    metadata = {
        "band_statistics": fit_band_statistics(images, bands).to_dict(),
        "pixel_scale_arcsec": 30.0,
        "units": units,
    }
    info = types.SimpleNamespace(
        metadata=metadata,
        splits={"train": types.SimpleNamespace(filepaths=["train"], shard_lengths=[len(images)])},
        full_name="cutouts",
        features={"label": types.SimpleNamespace(names=["other", "cluster"])},
    )
    records = [{"image": image} for image in images]
    return types.SimpleNamespace(info=info, as_data_source=lambda split: records)


@pytest.fixture(scope="module")
def cutouts():
    types_drawn = ["cluster", "random"] * 24
    return np.stack(
        [simulate_cutout(MicrowaveSky(), t, np.random.default_rng(i)).image for i, t in enumerate(types_drawn)]
    )


def make_preprocess(cutouts, **data):
    config, builder = make_config(**data), builder_of(cutouts)
    return with_matched_filters(Preprocess.from_metadata(config.data, builder.info.metadata), config, builder)


def test_template_of_a_size():
    sky = MicrowaveSky()
    mass = template_mass_msun(sky, 2.7)
    assert theta500_arcmin(sky.mass_ratio * mass, TEMPLATE_REDSHIFT) == pytest.approx(2.7, rel=1e-6)


@pytest.mark.parametrize("bands", [None, ("f150", "f090")])
def test_channels_are_the_matched_filters(cutouts, bands):
    """The observer's filter, which continues a cutout a little otherwise beyond its edges: 0.03 of the noise."""
    preprocess = make_preprocess(cutouts, bands=bands)
    assert preprocess.channels == (*(bands or BANDS), "S/N 1.5'", "S/N 3'")
    used = cutouts[..., list(preprocess.band_indices)]
    filtered = preprocess.filters(used)
    for i, size in enumerate(SIZES):
        mass = template_mass_msun(MicrowaveSky(), size)
        expected = matched_filter(MicrowaveSky(), m500c_msun=mass, bands=bands)(used)
        assert np.std(expected) > 0.8
        np.testing.assert_allclose(filtered[:, 28:36, 28:36, i], expected[:, 28:36, 28:36], atol=0.15)
        assert np.std(filtered[..., i] - expected) < 0.05
    # Statistics are those of the channels over the training cutouts.
    np.testing.assert_allclose(preprocess.filters.statistics.location, np.median(filtered, axis=(0, 1, 2)), atol=1e-3)
    whole = dataclasses.replace(preprocess, centre_pixels=None, stretch="linear")
    np.testing.assert_allclose(whole(cutouts)[..., -2:].std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_a_scan_sees_what_cutouts_see(cutouts):
    """Score of a window: the filtered channel at its middle; of a window that overhangs the map too."""
    preprocess = make_preprocess(cutouts)
    sky, _ = simulate_map(MicrowaveSky(), seed=2, shape=(80, 97), ra_deg=30.0, dec_deg=5.0)

    def predict(channels):
        return jax.nn.sigmoid(channels[:, 16, 16, 3])

    found = scan_map(predict, sky, size=64, stride=16, batch_size=8, transform=preprocess, progress=False)
    pixels = np.pad(sky.data, [(0, 64), (0, 64), (0, 0)], constant_values=np.nan)
    starts = [(16 * i, 16 * j) for i, j in np.ndindex(found.score.shape)]
    assert max(starts) == (16, 48)  # 48 + 64 is more than the map's 97
    windows = np.stack([pixels[y : y + 64, x : x + 64] for y, x in starts])
    expected = 1 / (1 + np.exp(-preprocess(windows)[:, 16, 16, 3]))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found.score.ravel(), expected, atol=1e-4)


def test_none_asked_for_none_made(cutouts):
    assert make_preprocess(cutouts, matched_filter_arcmin=()).filters is None


@pytest.mark.parametrize(
    ("units", "bands", "said"),
    [("K", BANDS, "f090, f150, f220 in K"), ("uK_CMB", ("W1", "W2", "W3"), r"has W1, W2, W3 in uK_CMB")],
)
def test_other_skies_are_refused(cutouts, units, bands, said):
    config, builder = make_config(), builder_of(cutouts, units, bands)
    with pytest.raises(InputError, match=rf"for maps in uK_CMB of the bands .*survey='act_dr5'.*the data set.*{said}"):
        with_matched_filters(Preprocess.from_metadata(config.data, builder.info.metadata), config, builder)


def test_config():
    config = any_network("cnn_mlp-filtered", "mw", microwave_from_scratch)
    validate(config)
    assert config.name == "cnn_mlp_mw_filtered"
    assert len(config.data.matched_filter_arcmin) == 3
    with pytest.raises(InputError, match="no variant 'filtered'"):
        any_network("cnn_mlp-filtered", "ir", infrared_from_scratch)
    for wrong in ((1.0, 0.0), (float("nan"),)):
        with pytest.raises(InputError, match=r"matched_filter_arcmin=.* must be theta500 in arcmin"):
            validate(make_config(matched_filter_arcmin=wrong))
