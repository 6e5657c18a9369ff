"""Pixels of one image file as float32 (y, x, band), whatever its format."""

import dataclasses
import pathlib
import warnings

import numpy as np
from jaxtyping import Float
from PIL import Image

from clusterjax.errors import InputError
from clusterjax.limits import check_limit
from clusterjax.sky.fits import read_image

Image.MAX_IMAGE_PIXELS = None  # our own limit, which can be changed, comes before anything is unpacked

HOW_TO_GO_ON = "mend or remove it, or set config.data.skip_unreadable to go on without it"


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """An image that could not be read, and why."""

    path: str
    reason: str


def read_pixels(path: pathlib.Path) -> tuple[Float[np.ndarray, "y x band"], tuple[str, ...]]:
    """(pixels, band names): grey is one band, colour is red, green, blue; values as stored, transparency dropped.

    FITS planes are band_1, band_2, ... Raises :class:`InputError` naming the file when it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        pixels = read_image(path)
        if not np.isfinite(pixels).any():
            raise InputError(f"{path} has no valid pixel: all are NaN")
        return pixels, tuple(f"band_{number}" for number in range(1, pixels.shape[-1] + 1))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata: the pixels count
            with Image.open(path) as image:
                check_limit("image_pixels", image.width * image.height, path)
                pixels = _to_array(image)
    except InputError:
        raise
    except Exception as error:  # each decoder has kinds of its own: the file is damaged
        reason = " ".join(str(error).replace(repr(str(path)), "it").split())
        raise InputError(f"{path} cannot be read as an image: {reason}") from error
    return pixels, ("grey",) if pixels.shape[-1] == 1 else ("red", "green", "blue")


def _to_array(image: Image.Image) -> Float[np.ndarray, "y x band"]:
    if image.mode in ("1", "LA", "La"):
        image = image.convert("L")
    elif image.mode not in ("L", "F", "I", "RGB") and not image.mode.startswith("I;16"):
        image = image.convert("RGB")
        red, green, blue = (np.asarray(band) for band in image.split())
        if (red == green).all() and (green == blue).all():  # a grey palette
            image = image.getchannel(0)
    pixels = np.asarray(image, np.float32)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def read_square(
    path: pathlib.Path, size: int | None, crop: int | None = None
) -> tuple[Float[np.ndarray, "y x band"], tuple[str, ...]]:
    """(pixels, band names): the central square of the image, resampled to ``size`` pixels a side (None: as it is).

    The square is the largest, or has ``crop`` pixels a side. Raises :class:`InputError` as :func:`read_pixels`, and for
    an image smaller than ``crop``.
    """
    pixels, bands = read_pixels(path)
    ny, nx, _ = pixels.shape
    side = min(ny, nx) if crop is None else crop
    if side > min(ny, nx):
        raise InputError(f"{path} has {nx}x{ny} pixels, fewer than config.data.crop_pixels={crop}")
    top, left = (ny - side) // 2, (nx - side) // 2
    pixels = pixels[top : top + side, left : left + side]
    return _resize(pixels, size or side), bands


def _resize(image: Float[np.ndarray, "y x band"], size: int) -> Float[np.ndarray, "size size band"]:
    """Antialiased linear resampling. Of NaN pixels: the weighted mean of the valid ones, NaN where most are not."""
    if image.shape[:2] == (size, size):
        return image
    valid = np.isfinite(image)
    total = _resize_planes(np.where(valid, image, np.float32(0)), size)
    if valid.all():
        return total
    weight = _resize_planes(valid.astype(np.float32), size)
    return np.where(weight >= 0.5, total / np.maximum(weight, 0.5), np.float32(np.nan)).astype(np.float32)


def _resize_planes(image: Float[np.ndarray, "y x band"], size: int) -> Float[np.ndarray, "size size band"]:
    # Pillow's bilinear filter widens when it shrinks; its mode F holds one float32 plane.
    planes = (Image.fromarray(np.ascontiguousarray(image[..., band])) for band in range(image.shape[-1]))
    return np.stack([np.asarray(plane.resize((size, size), Image.Resampling.BILINEAR)) for plane in planes], axis=-1)


def read_task(
    path: str, *, size: int, crop: int | None, num_bands: int, skip_unreadable: bool
) -> np.ndarray | Unreadable:
    """What worker processes do. Raises :class:`InputError` for a file that cannot be read, unless it may be skipped."""
    try:
        pixels, _ = read_square(pathlib.Path(path), size, crop)
    except InputError as error:
        if skip_unreadable:
            return Unreadable(path, str(error))
        raise InputError(f"{error}; {HOW_TO_GO_ON}") from error
    if pixels.shape[-1] != num_bands:
        raise InputError(f"{path} has {pixels.shape[-1]} bands, others have {num_bands}; all images must have as many")
    return pixels
