"""Galactic cirrus that is brighter in one place of the sky than in another.

The power of Galactic dust goes as (I / <I>)^2 with I the brightness at 100 µm, whose logarithm is Gaussian over the
sky. Approximate.
"""

import numpy as np
from jaxtyping import Complex, Float

from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import survey_of
from clusterjax.simulation.microwave.flat_sky import GaussianField
from clusterjax.simulation.microwave.spectra import dust_colour, dust_power


class Cirrus:
    """The dust of one place: a field of its own, which ``map_covariance(sky, ..., with_dust=False)`` leaves out."""

    def __init__(self, sky: MicrowaveSky, shape: tuple[int, int], *, width: float = 1.0):
        self.scatter = sky.cirrus_scatter
        self.colour = dust_colour(np.array(survey_of(sky).frequency_ghz)).astype(np.float32)[:, None, None]
        self.field = GaussianField(lambda ell: dust_power(sky, ell)[..., None, None], shape, width=width)

    def draw(
        self, rng: np.random.Generator, beam: Float[np.ndarray, "band ky kx"]
    ) -> tuple[Complex[np.ndarray, "band ky kx"], Float[np.ndarray, "band y x"]]:
        """(``rfft2`` on the padded grid, through the beams; waves longer than the grid), µK."""
        brightness = np.float32(np.exp(rng.normal(-(self.scatter**2) / 2, self.scatter)))
        colour = brightness * self.colour
        return colour * beam * self.field.draw_transform(rng), colour * self.field.draw_long_waves(rng)
