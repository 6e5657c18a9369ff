"""Images of single bands, or of several, joined to one map."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from astropy.wcs import WCS
from jaxtyping import Bool, Float

from clusterjax.errors import InputError
from clusterjax.sky.geometry import pixel_scales_arcsec, pixel_to_sky, unit_vectors
from clusterjax.sky.skymap import SkyMap

_STOKES_PLANES = 3  # I, Q, U
_GRID_TOLERANCE_PIXELS = 0.05  # files of one grid differ by rounding alone


@dataclasses.dataclass(frozen=True, eq=False)
class Planes:
    """The bands of one image, as read from a file: ``where`` names it in messages."""

    data: Float[np.ndarray, "y x band"]
    wcs: WCS
    bands: list[str]
    units: str
    where: str


def join_images(images: Sequence[Planes], bands: Sequence[str] | None) -> SkyMap:
    """One map of all planes. ``bands`` are the names that it must have; planes whose own names are just these, in
    another order, are put in this one, others take them in the order they come. Of one file a band with three planes
    each, which is how polarised maps (I, Q, U) come, the first plane is taken.

    Raises InputError for images on different grids, another number of bands, and a band without any signal.
    """
    for image in images[1:]:
        _check_same_grid(images[0], image)
    if bands is not None and len(images) == len(bands) > 1 and all(len(i.bands) == _STOKES_PLANES for i in images):
        images = [dataclasses.replace(image, data=image.data[..., :1], bands=image.bands[:1]) for image in images]
    data = np.concatenate([image.data for image in images], axis=2)
    names = [band for image in images for band in image.bands]
    units = [image.units for image in images for _ in image.bands]
    where = ", ".join(dict.fromkeys(image.where for image in images))
    if bands is not None:
        if len(bands) != len(names):
            raise InputError(
                f"{where} has {len(names)} bands ({', '.join(names)}); {len(bands)} are needed: {', '.join(bands)}"
            )
        own, wanted = ([name.upper() for name in each] for each in (names, bands))
        if sorted(own) == sorted(wanted) and len(set(own)) == len(own):
            order = [own.index(name) for name in wanted]
            data, units = data[..., order], [units[index] for index in order]
        names = list(bands)
    valid = _check_signal(data, names, where)
    unit = units[0] if len(set(units)) == 1 else ", ".join(units)
    return SkyMap(np.ascontiguousarray(data), images[0].wcs, valid, tuple(names), unit)


def _check_same_grid(first: Planes, other: Planes) -> None:
    shapes = first.data.shape[:2], other.data.shape[:2]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"{first.where} has {shapes[0][0]} x {shapes[0][1]} (y, x) pixels, {other.where} has {shapes[1][0]} x "
            f"{shapes[1][1]}; all bands must be on one grid"
        )
    y, x = np.meshgrid(*(np.linspace(0, length - 1, 5) for length in shapes[0]), indexing="ij")
    chord = unit_vectors(*pixel_to_sky(first.wcs, y, x)) - unit_vectors(*pixel_to_sky(other.wcs, y, x))
    offset_arcsec = np.degrees(np.linalg.norm(chord, axis=-1)) * 3600
    offset_pixels = float(np.nanmax(offset_arcsec)) / max(pixel_scales_arcsec(first.wcs, shapes[0]))
    if offset_pixels > _GRID_TOLERANCE_PIXELS:
        raise InputError(
            f"{first.where} and {other.where} are on different grids, up to {offset_pixels:.3g} pixels apart; "
            "resample them to one grid first"
        )


def _check_signal(data: np.ndarray, names: Sequence[str], where: str) -> Bool[np.ndarray, "y x"]:
    """Where all bands are finite; an error if nowhere, or if a band is constant."""
    finite = np.isfinite(data)
    for index, name in enumerate(names):
        band = data[..., index][finite[..., index]]
        if band.size == 0:
            raise InputError(f"band {name} of {where} has no valid pixel: all are NaN")
        if band.size > 1 and band.min() == band.max():
            raise InputError(f"band {name} of {where} is empty: all its valid pixels are {band[0]:g}")
    valid = finite.all(axis=2)
    if not valid.any():
        raise InputError(f"{where} has no pixel that is valid in all of the bands {', '.join(names)}")
    return valid
