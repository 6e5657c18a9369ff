"""A map in other units than the network's gives the same scores: it is converted before it is scanned."""

import dataclasses

import numpy as np
from untrained import BANDS, untrained_networks

from clusterjax.config import SearchConfig
from clusterjax.jobs.map_checks import as_trained
from clusterjax.jobs.scanning import search_map
from clusterjax.parallel import make_mesh
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap


def test_scores_do_not_depend_on_the_units(capsys):
    [network] = untrained_networks(1)
    data = np.random.default_rng(0).normal(size=(24, 24, 2)).astype(np.float32) * np.float32([3, 8])
    wcs = make_wcs((24, 24), ra_deg=30, dec_deg=5, pixel_scale_arcsec=2.75)
    sky = SkyMap(data, wcs, np.ones((24, 24), bool), BANDS, "nMgy (Vega)")
    zero_points = "DN (MAGZP 20.5), DN (MAGZP 19.5)"
    counts = dataclasses.replace(sky, data=data / np.float32([10**0.8, 10**1.2]), units=zero_points)
    search = SearchConfig(stride=4, batch_size=16, method="windows")
    assert as_trained(sky, network) is sky
    converted = as_trained(counts, network)
    said = f"the map is in {zero_points} and is converted to the network's nMgy (Vega)\n"
    assert capsys.readouterr().err == said
    scores = [search_map(network, each, search, make_mesh()).score for each in (sky, converted)]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-3)
    as_they_are = search_map(network, counts, search, make_mesh()).score
    assert np.abs(np.log(as_they_are / scores[0])).max() > 0.1
    unknown = dataclasses.replace(sky, units="DN")
    assert as_trained(unknown, network) is unknown
    assert "warning: the map is in DN, the network was trained on nMgy (Vega)" in capsys.readouterr().err
