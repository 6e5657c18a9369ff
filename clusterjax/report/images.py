"""Cutouts as pictures: a common stretch for many cutouts, false colour for two bands, PNG bytes."""

import dataclasses
import io

import matplotlib
import numpy as np
from jaxtyping import Float, Real, UInt8
from PIL import Image
from scipy.ndimage import gaussian_filter

_BLACK = -0.5  # sigma of the noise above the median: a hint of the noise remains
_SOFT = 3.0  # sigma at which the stretch turns from linear to logarithmic
_CHROMA_PIXELS = 1.2  # colours are averaged over this Gaussian: single pixels of noise have none
_CHROMA_GAIN = 1.5


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What turns fluxes into brightness: the same for many cutouts, so that they can be compared with each other.

    ``zero`` (median), ``noise`` (robust sigma) and ``white`` of each band, in its own flux units; the ``brightest``
    pixel of all; for two bands ``brightness_noise`` and ``brightness_white`` of their mean, and ``neutral``, the flux
    ratio that is shown white.
    """

    zero: tuple[float, ...]
    noise: tuple[float, ...]
    white: tuple[float, ...]
    brightest: float
    brightness_noise: float = 1.0
    brightness_white: float = 1.0
    neutral: float = 1.0


def _zero_and_noise(values: np.ndarray) -> tuple[float, float]:
    """Median and robust sigma; where most pixels are equal the plain standard deviation, and 1 without any spread."""
    if not values.size:
        return 0.0, 1.0
    centre = np.median(values)
    return float(centre), float(1.4826 * np.median(np.abs(values - centre)) or values.std() or 1.0)


def _white(values: np.ndarray, zero: float, noise: float, percentile: float) -> float:
    return max(float(np.percentile(values, percentile)), zero + 5 * noise) if values.size else zero + 5 * noise


def fit_stretch(images: Real[np.ndarray, "*batch y x band"], *, percentile: float = 99.7) -> Stretch:
    """Zero point, noise and white (``percentile`` of the pixels) of ``images``; NaN pixels are left out."""
    pixels = np.asarray(images, np.float64).reshape(-1, images.shape[-1])
    pixels = pixels[:: max(len(pixels) // 1_000_000, 1)]  # enough for a percentile
    bands = [band[np.isfinite(band)] for band in pixels.T]
    levels = [_zero_and_noise(band) for band in bands]
    zero, noise = (tuple(level[i] for level in levels) for i in (0, 1))
    white = tuple(_white(band, *level, percentile) for band, level in zip(bands, levels, strict=True))
    brightest = max((float(band.max()) for band in bands if band.size), default=1.0)
    if len(bands) != 2:
        return Stretch(zero, noise, white, brightest)
    flux = pixels[np.isfinite(pixels).all(axis=1)] - zero
    brightness = flux.mean(axis=1)
    _, sigma = _zero_and_noise(brightness)
    bright = flux[(brightness > 10 * sigma) & (flux > 0).all(axis=1)]
    neutral = float(np.median(bright[:, 1] / bright[:, 0])) if len(bright) > 20 else noise[1] / noise[0]
    return Stretch(zero, noise, white, brightest, sigma, _white(brightness, 0.0, sigma, percentile), neutral)


def _asinh_scale(flux: np.ndarray, noise: float, white: float) -> np.ndarray:
    """0 at black, 1 at white (Lupton et al. 1999)."""
    black, soft = _BLACK * noise, _SOFT * noise
    return np.arcsinh((flux - black) / soft) / np.arcsinh((white - black) / soft)


def _two_bands(flux: np.ndarray, stretch: Stretch) -> np.ndarray:
    """Brightness from the mean of both bands, pixel by pixel; hue from their smoothed ratio, red where band 1 leads."""
    missing = ~np.isfinite(flux)
    brightness = _asinh_scale(flux.mean(axis=-1), stretch.brightness_noise, stretch.brightness_white)
    smooth = gaussian_filter(np.where(missing, 0, flux), _CHROMA_PIXELS, axes=(-3, -2))
    # A few sigma are added to both, so that the noise is grey.
    floor = 3 * max(stretch.noise[0] * stretch.neutral, stretch.noise[1])
    ratio = (np.maximum(smooth[..., 1], 0) + floor) / (np.maximum(smooth[..., 0], 0) * stretch.neutral + floor)
    hue = np.clip(_CHROMA_GAIN * np.log(ratio), -1, 1)
    tint = np.stack([1 + 0.55 * hue, 1 - 0.1 * np.abs(hue), 1 - 0.55 * hue], axis=-1)
    return np.clip(brightness, 0, 1)[..., None] * tint


def false_colour(
    images: Real[np.ndarray, "*batch y x band"], stretch: Stretch, *, natural: bool = False
) -> UInt8[np.ndarray, "*batch y x 3"]:
    """Red, green and blue in 0..255, the longest band red, the shortest blue. NaN pixels are mid-grey.

    Two bands: brightness is the asinh of their mean flux, hue their ratio, red where the second band is the brighter.
    One band is grey; of more than three the first, middle and last are taken, each in asinh of its own noise.
    ``natural`` takes bands as red, green, blue in this order and scales them linearly, as ordinary pictures are.
    """
    flux = np.asarray(images, np.float64) - np.array(stretch.zero)
    num_bands = images.shape[-1]
    if natural:
        chosen = np.asarray(images, np.float64)[..., [0, num_bands // 2, num_bands - 1]]
        colour = chosen / max(stretch.brightest, 1e-30)
    elif num_bands == 2:
        colour = _two_bands(flux, stretch)
    else:
        channels = [
            _asinh_scale(flux[..., i], stretch.noise[i], stretch.white[i] - stretch.zero[i])
            for i in (num_bands - 1, num_bands // 2, 0)
        ]
        colour = np.stack(channels, axis=-1)
    return _as_bytes(colour)


def band_pictures(
    images: Real[np.ndarray, "*batch y x band"], stretch: Stretch, *, natural: bool = False
) -> UInt8[np.ndarray, "*batch y x band 3"]:
    """Each band by itself in grey, in the asinh of its own noise (``natural``: linear); NaN pixels are mid-grey."""
    flux = np.asarray(images, np.float64)
    if natural:
        grey = flux / max(stretch.brightest, 1e-30)
    else:
        levels = list(zip(stretch.zero, stretch.noise, stretch.white, strict=True))
        grey = np.stack(
            [_asinh_scale(flux[..., i] - zero, noise, white - zero) for i, (zero, noise, white) in enumerate(levels)],
            axis=-1,
        )
    return _as_bytes(np.repeat(grey[..., None], 3, axis=-1))


def heat_pictures(maps: Real[np.ndarray, "n y x"]) -> UInt8[np.ndarray, "n y x 3"]:
    """Each map of numbers from 0 (black) to its own largest (bright yellow); NaN pixels are mid-grey."""
    largest = np.nanmax(maps, axis=(1, 2), initial=0, keepdims=True)
    return _coloured("inferno", maps / np.maximum(largest, 1e-30))


def score_pictures(maps: Real[np.ndarray, "n y x"]) -> UInt8[np.ndarray, "n y x 3"]:
    """Scores from 0 (white) to 1 (dark blue), as in the report's map; NaN pixels are mid-grey."""
    return _coloured("PuBu", np.asarray(maps, float))


def signed_pictures(maps: Real[np.ndarray, "n y x"]) -> UInt8[np.ndarray, "n y x 3"]:
    """Each map from blue (negative) over white to red, to the 99.5th percentile of its own absolute values."""
    largest = np.nanpercentile(np.abs(maps), 99.5, axis=(1, 2), keepdims=True)
    return _coloured("RdBu_r", 0.5 + 0.5 * maps / np.maximum(largest, 1e-30))


def _coloured(colours: str, shares: np.ndarray) -> np.ndarray:
    return _as_bytes(np.where(np.isnan(shares)[..., None], np.nan, matplotlib.colormaps[colours](shares)[..., :3]))


def _as_bytes(colour: np.ndarray) -> UInt8[np.ndarray, "*any"]:
    missing = ~np.isfinite(colour)
    return np.where(missing, 118, np.clip(np.where(missing, 0, colour), 0, 1) * 255).round().astype(np.uint8)


def image_png(rgb: UInt8[np.ndarray, "y x 3"], *, size: int | None = None) -> bytes:
    """PNG bytes, enlarged without smoothing to at least ``size`` pixels a side. Row 0 at the bottom, as in FITS."""
    is_grey = not np.any(rgb != rgb[..., :1])
    picture = Image.fromarray(np.ascontiguousarray(rgb[::-1, :, 0] if is_grey else rgb[::-1]))
    if size is not None and max(picture.size) < size:
        factor = -(-size // max(picture.size))
        picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def png_to_jpeg(png: bytes, *, quality: int = 85) -> bytes:
    """The same picture as JPEG: a tenth of the size where it is full of noise."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def block_means(data: Float[np.ndarray, "y x band"], block: int) -> np.ndarray:
    """Means over squares of ``block`` pixels; NaN pixels and the last part of a block are left out."""
    if block <= 1:
        return data
    ny, nx = (length // block * block for length in data.shape[:2])
    blocks = data[:ny, :nx].reshape(ny // block, block, nx // block, block, data.shape[2])
    good = np.isfinite(blocks)
    count = good.sum(axis=(1, 3))
    total = np.where(good, blocks, 0).sum(axis=(1, 3))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
