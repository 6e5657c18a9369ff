"""What the scan's vetting page shows of candidates: pictures of the right sky, and what the network saw."""

import dataclasses

import numpy as np
import pytest
from astropy.table import Table
from untrained import BANDS, ensemble_of, untrained_networks

from clusterjax.config import ExperimentConfig, ExplainConfig, VettingConfig
from clusterjax.config_checks import validate
from clusterjax.errors import InputError
from clusterjax.jobs.vetting_page import _about_the_middle, _saliency_pictures, _sky_pictures, _statuses
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.open_map import open_map
from clusterjax.sky.skymap import SkyMap

GREY = 118  # of what was not measured


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    """A map of noise with one bright pixel, at (20, 30)."""
    data = np.random.default_rng(0).normal(size=(50, 60, 2)).astype(np.float32)
    data[20, 30] = 1000
    wcs = make_wcs((50, 60), ra_deg=30, dec_deg=5, pixel_scale_arcsec=2.75)
    path = tmp_path_factory.mktemp("sky") / "sky.fits"
    write_sky_map(path, SkyMap(data, wcs, np.ones((50, 60), bool), BANDS))
    return open_map([path])


CANDIDATES = Table({"y_pixels": [20.3, 25.0, 2.0], "x_pixels": [29.8, 40.0, 3.0]})


def test_cutouts_are_centred_and_end_with_the_map(sky):
    pictures = {one.name: one.images for one in _sky_pictures(sky, CANDIDATES, 12)}
    assert list(pictures) == ["colour", "W1", "W2"]
    for images in pictures.values():
        assert images.shape == (3, 12, 12, 3)
        brightness = images[0].astype(int).sum(axis=2)
        assert np.unravel_index(brightness.argmax(), brightness.shape) == (6, 6)
        assert (images[2][:4] == GREY).all()  # four rows below the map
        assert not (images[2][4:, 3:] == GREY).all()
    four_bands = [one.name for one in _sky_pictures(_with_bands(sky, 4), CANDIDATES, 12)]
    assert four_bands == ["a0", "a1", "a2", "a3"]
    assert len(_sky_pictures(_with_bands(sky, 3), CANDIDATES, 12)) == 4


def _with_bands(sky, number):
    one = sky.read(0, 0, *sky.shape)
    data = np.concatenate([one.data, one.data], axis=2)[..., :number]
    return dataclasses.replace(one, data=data, bands=tuple(f"a{i}" for i in range(number)))


def test_large_cutouts_are_averaged(sky):
    images = _sky_pictures(sky, CANDIDATES, 200)[0].images
    assert images.shape[1:3] == (66, 66)  # of blocks of 3


@pytest.mark.parametrize(("saliency", "members"), [("integrated_gradients", 2), ("grad_cam", 1)])
def test_saliency_is_of_the_first_within_the_networks_window(sky, saliency, members):
    """Its window has 10 pixels; around it a wider cutout is grey, and narrower ones are its middle."""
    networks = untrained_networks(members)
    network = networks[0] if members == 1 else ensemble_of(networks)
    settings = VettingConfig(num_saliency=2, saliency=saliency)
    options = (network, settings, ExplainConfig(num_steps=4), "cluster", sky, CANDIDATES)
    [wide] = _saliency_pictures(*options, 16)
    assert wide.images.shape == (2, 16, 16, 3)
    inside = np.zeros((16, 16), bool)
    inside[3:13, 3:13] = True
    assert (wide.images[:, ~inside] == GREY).all()
    assert np.ptp(wide.images[:, inside].astype(int), axis=1).max() > 20
    [own] = _saliency_pictures(*options, 10)
    np.testing.assert_array_equal(own.images, wide.images[:, 3:13, 3:13])
    assert "cluster" in own.note
    assert _saliency_pictures(network, VettingConfig(num_saliency=0), *options[2:], 10) == []


@pytest.mark.parametrize("size", [5, 6])
@pytest.mark.parametrize("side", [3, 4, 5, 6, 9, 10])
def test_the_middle_stays_the_middle(size, side):
    """Pixel size // 2, about which cutouts are made."""
    maps = np.zeros((1, size, size))
    maps[0, size // 2, size // 2] = 1
    moved = _about_the_middle(maps, side)
    assert moved.shape == (1, side, side)
    assert moved[0, side // 2, side // 2] == 1
    assert np.isnan(moved).sum() == max(side**2 - size**2, 0)


def test_words_for_what_is_known():
    assert _statuses(Table({"a": [1]}), simulated=True) == []
    matched = Table({"source_index": [3, -1]})
    assert _statuses(matched, simulated=True) == ["true", "false"]
    assert _statuses(matched, simulated=False) == ["known", "new"]
    matched["status"] = ["outside", "new"]
    assert _statuses(matched, simulated=False) == ["outside", "new"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("saliency", "magic", r"vetting\.saliency='magic' is unknown"),
        ("method", "loudest", r"vetting\.method='loudest' is unknown; use one of 'weighted', 'dawid_skene'"),
        ("confident", 0.4, r"vetting\.confident=0\.4 must lie within \[0\.5, 1\.0\]"),
        ("num_candidates", -1, r"vetting\.num_candidates=-1 must be 0 or above"),
        ("min_votes", 0, r"vetting\.min_votes=0 must be above 0"),
    ],
)
def test_fields_are_checked(field, value, message):
    config = ExperimentConfig()
    setattr(config.vetting, field, value)
    with pytest.raises(InputError, match=message):
        validate(config)
