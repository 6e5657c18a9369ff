"""The real ACT + Planck maps around a known cluster, seen with the simulated sky's own filter."""

import numpy as np
import pytest

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
    """Nothing here was fitted to the maps: covariance, beams and profile are those of the simulation."""
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
