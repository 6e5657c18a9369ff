"""What XMM-Newton's mirrors and cameras add that is no source. Strengths are our choice, to look like the real ones."""

import numpy as np
from jaxtyping import Float

from clusterjax.simulation.xray_optical.instrument import BIN_ARCSEC

_OUT_OF_TIME = 0.06  # share of PN's counts in full frame that a read-out smears along a column [~]
_COLUMN_ARCMIN = 13.6  # of a PN CCD [~]

Image = Float[np.ndarray, "y x"]


def add_artefact(
    rng: np.random.Generator, kind: str, mean: Image, exposure: Image, background: Image, column_rad: float
) -> tuple[Image, Image]:
    """(mean counts, exposure) with an artefact of ``kind`` through the centre; columns run along ``column_rad``."""
    ny, nx = mean.shape
    arcmin = BIN_ARCSEC / 60
    y, x = (np.arange(ny) - (ny - 1) / 2)[:, None] * arcmin, (np.arange(nx) - (nx - 1) / 2)[None, :] * arcmin
    y, x = y - rng.normal(0, 0.05), x - rng.normal(0, 0.05)
    across = y * np.cos(column_rad) - x * np.sin(column_rad)
    seen = exposure > 0
    if kind == "arc":  # single reflections of a bright source outside of the field: parts of circles
        radius, angle = rng.uniform(4, 10), rng.uniform(0, 2 * np.pi)
        distance = np.hypot(y - radius * np.sin(angle), x - radius * np.cos(angle)) - radius
        width = rng.uniform(0.15, 0.4)
        profile = np.exp(-0.5 * (distance / width) ** 2)
        profile += 0.7 * np.exp(-0.5 * ((distance - 4 * width) / width) ** 2)
        mean = mean + rng.uniform(4, 12) * background * profile
    elif kind == "streak":
        total = (mean - background).sum()
        column = np.exp(-0.5 * (across / 0.07) ** 2)
        rate = _OUT_OF_TIME * total / (_COLUMN_ARCMIN / arcmin) / (0.07 / arcmin * np.sqrt(2 * np.pi))
        mean = mean + np.where(seen, rate * column, 0)
    elif kind == "noisy_ccd":  # the plateau at low energies of MOS1's CCDs 4 and 5 (Kuntz & Snowden 2008)
        mean = mean + np.where(across > 0, rng.uniform(2, 6), 0) * background
    else:  # dead columns
        alive = np.where(np.abs(across) < rng.uniform(0.08, 0.2), 0.15, 1.0)
        mean, exposure = mean * alive, exposure * alive
    return mean, exposure
