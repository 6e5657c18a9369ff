"""Point sources on a map are masked, and a bright cluster is none of them."""

import dataclasses

import numpy as np
import pytest

from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import survey_of
from clusterjax.simulation.microwave.filters import (
    TEMPLATE_MASS_MSUN,
    TEMPLATE_REDSHIFT,
    cluster_snr,
    matched_filter,
    point_source_filters,
    ringing,
)
from clusterjax.simulation.microwave.painting import inject_clusters
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

SIDE, CENTRE = 256, 128
SKY = MicrowaveSky(radio_n10=1e-9, scatter_ln=0.0)


def empty_map() -> SkyMap:
    """Without noise, so that what is seen is the objects alone."""
    wcs = make_wcs((SIDE, SIDE), ra_deg=30.0, dec_deg=5.0, pixel_scale_arcsec=30.0)
    data = np.zeros((SIDE, SIDE, 3), np.float32)
    return SkyMap(data, wcs, np.ones((SIDE, SIDE), bool), survey_of(SKY).bands, "uK_CMB")


def with_cluster(sky_map: SkyMap, snr: float, mass=TEMPLATE_MASS_MSUN, redshift=TEMPLATE_REDSHIFT) -> SkyMap:
    """One in the middle, as bright as that."""
    haloes = Haloes(np.array([mass]), np.array([redshift]))
    middle = np.array([float(CENTRE)])
    image = inject_clusters(np.random.default_rng(0), SKY, empty_map(), haloes, middle, middle).data
    return add(sky_map, image * np.float32(snr / matched_filter(SKY)(image)[CENTRE, CENTRE]))


def add(sky_map: SkyMap, image) -> SkyMap:
    return dataclasses.replace(sky_map, data=sky_map.data + image)


def with_source(sky_map: SkyMap, snr: float, y: int, x: int, kind: int) -> SkyMap:
    """A radio (0) or dusty (1) galaxy: its template, transformed to the sky."""
    find = point_source_filters(SKY)[kind]
    k = 2 * np.pi * np.fft.fftfreq(SIDE, find.pixel_radians)
    ell = np.hypot(k[:, None], k[None, :])
    image = np.stack([np.fft.ifft2(np.interp(ell, find.ell, band, right=0)).real for band in find.template.T], axis=-1)
    image = np.roll(image, (y, x), axis=(0, 1)).astype(np.float32)
    return add(sky_map, image * np.float32(snr / find(image)[y, x]))


def test_ringing_is_what_the_filters_make_of_a_painted_cluster():
    sky_map = with_cluster(empty_map(), 10.0)
    y, x = np.indices((SIDE, SIDE))
    near = np.hypot(y - CENTRE, x - CENTRE) < 12
    for find in point_source_filters(SKY):
        assert find(sky_map.data)[CENTRE, CENTRE] < 0
        assert ringing(find, matched_filter(SKY)) == pytest.approx(find(sky_map.data)[near].max() / 10, rel=0.05)


@pytest.mark.parametrize(("mass", "redshift"), [(4e14, 0.5), (1e15, 0.3), (1e15, 0.15)])
def test_a_bright_cluster_does_not_mask_itself(mass, redshift):
    """One of S/N 60, whose ring is above the sources' threshold: as noise makes it about one of S/N 13."""
    sky_map = with_cluster(empty_map(), 60.0, mass, redshift)
    assert max(find(sky_map.data).max() for find in point_source_filters(SKY)) > 5
    snr = cluster_snr(SKY, sky_map)
    assert np.isfinite(snr).all()
    assert snr[CENTRE, CENTRE] == pytest.approx(60, rel=0.01)


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("cluster", [0.0, 13.0])
def test_a_source_is_masked_near_a_cluster_too(kind, cluster):
    y, x = CENTRE, CENTRE + 10  # 5' beside
    sky_map = with_source(with_cluster(empty_map(), cluster), 12.0, y, x, kind)
    masked = np.isnan(cluster_snr(SKY, sky_map))
    distance_arcmin = np.hypot(*(np.indices(masked.shape) - np.array([y, x])[:, None, None])) / 2
    assert masked[distance_arcmin < 4].all()
    assert not masked[distance_arcmin > 6].any()
    faint = with_source(with_cluster(empty_map(), cluster), 4.0, y, x, kind)
    assert np.isfinite(cluster_snr(SKY, faint)).all()
