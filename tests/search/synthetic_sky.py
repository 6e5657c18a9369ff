"""A map with point sources, and a predict callable whose score is highest when a source is at the window's centre."""

import jax
import jax.numpy as jnp
import numpy as np

from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap

SOURCE_FLUX = 60.0


def make_map(shape, sources=(), *, ra_deg=30.0, dec_deg=5.0, projection="TAN") -> SkyMap:
    data = np.zeros((*shape, 2), np.float32)
    for y, x in sources:
        data[y, x] = SOURCE_FLUX
    wcs = make_wcs(shape, ra_deg=ra_deg, dec_deg=dec_deg, pixel_scale_arcsec=2.75, projection=projection)
    return SkyMap(data, wcs, np.ones(shape, bool), ("W1", "W2"))


def fill(windows):
    return jnp.nan_to_num(windows)


def central_flux(images):
    """The sigmoid of the flux weighted with a Gaussian of 6 pixels about the centre: log-odds 8 on a source."""
    centre = (images.shape[1] - 1) / 2
    distance = jnp.arange(images.shape[1]) - centre
    weight = jnp.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 6.0**2))
    return jax.nn.sigmoid(jnp.einsum("byx,yx->b", images[..., 0], weight) / 5 - 4)
