"""One example of a simulated data set, made alone. Apart from the builders, so that workers need not import TFDS."""

from collections.abc import Mapping

import numpy as np

from clusterjax.data.resize import resize_picture
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.skies import Sky, simulation_of
from clusterjax.sky.regions import sample_positions

SPLITS = ("train", "validation", "test")  # a split's place here is its id in the seeds: never reorder
_OBJECT_ID_STRIDE = 10**9  # object_id = split id x this + number of the cutout within its split


def _draw(split: str, index: int, seed: int, sky: Sky, object_fractions: Mapping[str, float], size: int, **options):
    """(random numbers that are left, positions, cutout)."""
    simulation = simulation_of(sky)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    object_type = _draw_type(rng, sky, object_fractions)
    half_diagonal_arcmin = size / np.sqrt(2) * simulation.pixel_scale_arcsec / 60
    positions = sample_positions(rng, split, 1, margin_arcmin=half_diagonal_arcmin)
    return rng, positions, simulation.simulate_cutout(sky, object_type, rng, size=size, **options)


def simulate_example(
    split: str,
    index: int,
    *,
    seed: int,
    sky: Sky,
    object_fractions: Mapping[str, float],
    size: int,
    image_size: int | None = None,
) -> dict:
    """Example ``index`` of ``split``: the data set's features. Depends on the arguments and nothing else.

    Positions keep the cutout's half-diagonal from the border of their sky block, so that cutouts of two splits never
    overlap. The image is that of a field drawn for it alone, wherever it lies; of ``size`` pixels a side, resampled to
    ``image_size`` if that is given (antialiased; pictures of 8 bits stay such).
    """
    split_id = SPLITS.index(split)
    rng, (ra_deg, dec_deg, block), cutout = _draw(split, index, seed, sky, object_fractions, size)
    label = cutout.label
    # Drawn last and always, so that a cutout's pixels do not depend on the label noise. Only training labels lie.
    if rng.random() < sky.label_noise and split == "train":
        label = 1 - label
    return {
        "image": cutout.image if image_size is None else resize_picture(cutout.image, image_size),
        "label": label,
        "object_type": cutout.object_type,
        "ra_deg": ra_deg[0],
        "dec_deg": dec_deg[0],
        "redshift": np.float32(cutout.redshift),
        "m500c_msun": np.float32(cutout.m500c_msun),
        **{name: np.float32(value) for name, value in {**cutout.measurements, **cutout.levels}.items()},
        "object_id": split_id * _OBJECT_ID_STRIDE + index,
        "sky_block": int(block[0]),
    }


def simulate_without_sources(
    split: str, index: int, *, seed: int, sky: MicrowaveSky, object_fractions: Mapping[str, float], size: int
) -> tuple[np.ndarray, bool]:
    """(image, whether its object has sources of its own) of :func:`simulate_example`'s cutout without point sources."""
    cutout = _draw(split, index, seed, sky, object_fractions, size, paint_sources=False)[2]
    return cutout.image, cutout.own_sources > 0


def _draw_type(rng: np.random.Generator, sky: Sky, object_fractions: Mapping[str, float]) -> str:
    fractions = np.array([object_fractions.get(name, 0.0) for name in sky.object_types])
    return sky.object_types[int(rng.choice(len(sky.object_types), p=fractions / fractions.sum()))]


def simulated_type(split: str, index: int, *, seed: int, sky: Sky, object_fractions: Mapping[str, float]) -> str:
    """The object type of :func:`simulate_example`'s example, known without making it."""
    return _draw_type(np.random.default_rng([seed, SPLITS.index(split), index]), sky, object_fractions)
