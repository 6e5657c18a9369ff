"""Real microwave maps of known clusters, seen with the simulated sky's own filter: nothing is fitted to the maps."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from scipy import ndimage

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.filters import matched_filter
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.fits import read_sky_map

CLUSTER = "ACT-CL J0119.9+0055"


@pytest.fixture
def sky(shared_data):
    files = [
        shared_data / f"act_planck/act_planck_s08_s18_cmb_{band}_night_map.fits" for band in ("f090", "f150", "f220")
    ]
    return read_sky_map(files, bands=("f090", "f150", "f220"))


def test_a_known_cluster_is_the_highest_peak(sky, shared_data):
    catalogue = with_positions(read_table(shared_data / "catalogues/clusters/aactpol.csv.gz"))
    cluster = catalogue[np.asarray(catalogue["name"]) == CLUSTER][0]
    snr = matched_filter(MicrowaveSky(survey="act_dr6"), redshift=0.731)(sky.data)
    y, x = np.unravel_index(np.argmax(snr), snr.shape)
    at_y, at_x = sky.sky_to_pixel(float(cluster["ra_deg"]), float(cluster["dec_deg"]))
    assert np.hypot(y - at_y, x - at_x) * 0.5 < 0.7  # arcmin
    assert snr.max() > 4
    # Elsewhere it is noise of about the variance that the model says.
    away = np.hypot(*(np.indices(snr.shape) - np.array([at_y, at_x])[:, None, None])) > 8
    assert np.std(snr[away]) == pytest.approx(0.85, abs=0.25)
    assert snr[away].max() < snr.max() - 1


def test_norma_in_plancks_map(shared_data):
    """PSZ2 G325.17-07.05 (z = 0.0157, 7 deg from the Galactic plane) in one band: the second-highest peak."""
    sky = read_sky_map([shared_data / "planck143/maps/planck143_l325.9_b-7.0.fits"])
    find = matched_filter(
        MicrowaveSky(survey="planck"), redshift=0.0157, bands=("143",), pixel_scale_arcmin=sky.pixel_scale_arcsec / 60
    )
    snr = np.where(sky.valid, find(sky.data * 1e6), np.nan)
    noise = 1.4826 * np.nanmedian(np.abs(snr - np.nanmedian(snr)))
    assert noise == pytest.approx(1, abs=0.15)  # the simulation's covariance is that of the real sky
    filled = np.nan_to_num(snr / noise, nan=-np.inf)
    peaks = np.argwhere((filled == ndimage.maximum_filter(filled, 31)) & (filled > 4))
    norma = SkyCoord(325.17, -7.05, unit="deg", frame="galactic").icrs
    separation = norma.separation(SkyCoord(*sky.pixel_to_sky(*peaks.T.astype(float)), unit="deg")).arcmin
    highest_first = separation[np.argsort(-filled[tuple(peaks.T)])]
    assert highest_first[:2].min() < 6
    assert len(peaks) < 6
