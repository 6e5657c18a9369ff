"""Simulated XMM-Newton counts beside a photographic plate: one candidate at the centre of 7' of sky."""

import dataclasses

import numpy as np
import scipy.ndimage
from jaxtyping import Float, UInt8

from clusterjax.errors import InputError
from clusterjax.simulation.cutout import Cutout
from clusterjax.simulation.knobs import XRAY_CLUSTERS, XRAY_OBJECT_TYPES, XrayOpticalSky
from clusterjax.simulation.levels import block_centres, block_light, median, name_levels
from clusterjax.simulation.xray_optical import instrument, plates
from clusterjax.simulation.xray_optical.artefacts import add_artefact
from clusterjax.simulation.xray_optical.extent import measure_extent
from clusterjax.simulation.xray_optical.instrument import BIN_ARCSEC
from clusterjax.simulation.xray_optical.objects import PIXEL_ARCSEC, RECIPES, SIZE, Extended, Target
from clusterjax.simulation.xray_optical.populations import agn_magnitude, sample_agn
from clusterjax.sky.channels import EIGHT_BIT, RAW, arrange, check_channels, xamin_grey

NUM_BINS = SIZE // 2  # of the counts, a side
# Of the sky without the object: median counts a bin, median light on the plate in that of the night sky, mean exposure
LEVELS = (*name_levels(("xray", "optical")), "sky_exposure")
MEASUREMENTS = ("flux_cgs", "off_axis_arcmin", "extent_arcsec", "extension_likelihood")
# For the eye and the network, as XAmin's pictures: our choice of what is left open there
_SMOOTHING_BINS = 1.3
_PLACE_IN_VIEW = "edge"  # the type of object that is a place in the field of view
_XRAY_PERCENTILES, _XRAY_RANGE = (25.0, 99.6), (0.6, 4.0)  # the cuts, and least and most counts a bin between them
_PLATE_PERCENTILES, _PLATE_RANGE = (5.0, 99.6), (2600.0, 12_000.0)


@dataclasses.dataclass(frozen=True)
class Observation:
    """``counts`` in bins of 2.36", ``exposure`` there over the greatest, ``plate`` in pixels of 1.18"."""

    counts: Float[np.ndarray, "178 178"]
    exposure: Float[np.ndarray, "178 178"]
    plate: Float[np.ndarray, "356 356"]
    object_type: str
    target: Target
    off_axis_arcmin: float
    extent_arcsec: float
    extension_likelihood: float
    levels: dict[str, float]  # of ``LEVELS``


@dataclasses.dataclass(frozen=True)
class Pointing:
    """Where a cutout lies in the field of view: instrument coordinates of its bins, arcmin from the optical axis."""

    x_arcmin: Float[np.ndarray, "y x"]
    y_arcmin: Float[np.ndarray, "y x"]
    off_axis_arcmin: float  # of the centre
    direction_rad: float  # in the image, away from the axis
    roll_rad: float


def _point_at(rng: np.random.Generator, off_axis_arcmin: float) -> Pointing:
    roll, place = rng.uniform(0, 2 * np.pi, 2)
    axis = (np.arange(NUM_BINS) - (NUM_BINS - 1) / 2) * (BIN_ARCSEC / 60)
    dy, dx = axis[:, None], axis[None, :]
    x = dx * np.cos(roll) - dy * np.sin(roll) + off_axis_arcmin * np.cos(place)
    y = dx * np.sin(roll) + dy * np.cos(roll) + off_axis_arcmin * np.sin(place)
    return Pointing(x, y, off_axis_arcmin, place - roll, roll)


def _beta_model(part: Extended, num_padded: int) -> Float[np.ndarray, "y x"]:
    """Flux per bin on the padded grid, whose wrapped border lies at its end."""
    place = np.arange(num_padded, dtype=np.float32)
    place = np.where(place < (NUM_BINS + num_padded) / 2, place, place - num_padded)
    y, x = ((pixels - 0.5) / 2 for pixels in (part.y_pixels, part.x_pixels))
    dy, dx = (place - np.float32(y))[:, None], (place - np.float32(x))[None, :]
    cos, sin = np.float32(np.cos(part.angle_rad)), np.float32(np.sin(part.angle_rad))
    core, ratio = np.float32(part.core_arcsec / BIN_ARCSEC), np.float32(part.axis_ratio)
    # Of the same area whatever its axis ratio.
    squared = ((dx * cos + dy * sin) ** 2 * ratio + (dy * cos - dx * sin) ** 2 / ratio) / core**2
    squared += 1
    profile = 1 / (squared * np.sqrt(squared))
    return profile * np.float32(part.flux_cgs / (2 * np.pi * core**2))


def _deposit(points: list[tuple[float, float, float]], num_padded: int) -> Float[np.ndarray, "y x"]:
    """Points shared among the four nearest bins."""
    image = np.zeros((num_padded, num_padded))
    y, x, flux = np.array(points, float).reshape(-1, 3).T
    y, x = (y - 0.5) / 2, (x - 0.5) / 2
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    wy, wx = y - top, x - left
    for row, column, weight in (
        (top, left, (1 - wy) * (1 - wx)), (top, left + 1, (1 - wy) * wx),
        (top + 1, left, wy * (1 - wx)), (top + 1, left + 1, wy * wx),
    ):  # fmt: skip
        np.add.at(image, (row % num_padded, column % num_padded), flux * weight)
    return image


def simulate_observation(sky: XrayOpticalSky, object_type: str, rng: np.random.Generator) -> Observation:
    """Counts and plate of 7' about an object of ``object_type``. Raises :class:`InputError` for an unknown type."""
    if object_type not in RECIPES:
        raise InputError(f"object_type={object_type!r} is unknown; use one of {', '.join(XRAY_OBJECT_TYPES)}")
    target = RECIPES[object_type](rng, sky)
    off_axis = target.off_axis_arcmin
    if off_axis is None:
        off_axis = sky.off_axis_max_arcmin * float(np.sqrt(rng.random()))
    pointing = _point_at(rng, off_axis)
    num_padded = instrument.padded_bins(NUM_BINS)
    points, plate_objects = _field(rng, sky, num_padded)

    rates = _deposit(target.points + points, num_padded)
    for part in target.extended:
        rates = rates + _beta_model(part, num_padded)
    blurred = instrument.blur(rates, off_axis, pointing.direction_rad, scale=sky.psf_scale)[:NUM_BINS, :NUM_BINS]
    seconds = 1000 * sky.exposure_ks
    radius = np.hypot(pointing.x_arcmin, pointing.y_arcmin)
    relative = instrument.exposure(pointing.x_arcmin, pointing.y_arcmin)
    empty = instrument.background(relative, radius) * (sky.background_scale * seconds)
    relative = relative * instrument.vignetting(radius)
    counts_per_flux = relative * (seconds / instrument.FLUX_PER_COUNT_RATE)
    mean = np.maximum(blurred, 0) * counts_per_flux + empty
    levels = _levels(points, plate_objects, counts_per_flux, empty, relative)
    if object_type == _PLACE_IN_VIEW:
        levels |= {"sky_level_xray": float("nan"), "sky_exposure": float("nan")}
    if target.artefact:
        angle = pointing.roll_rad if target.trail_rad is None else target.trail_rad
        mean, relative = add_artefact(rng, target.artefact, mean, relative, empty, angle)
    counts = rng.poisson(mean).astype(np.float32)
    extent, likelihood = measure_extent(counts, relative, off_axis, scale=sky.psf_scale)

    light = plates.render(plates.join([*target.plate, plate_objects]), SIZE)
    return Observation(
        counts=counts,
        exposure=relative.astype(np.float32),
        plate=plates.expose(rng, light, noise_scale=sky.plate_noise_scale),
        object_type=object_type,
        target=target,
        off_axis_arcmin=off_axis,
        extent_arcsec=extent,
        extension_likelihood=likelihood,
        levels=levels,
    )


def _field(rng, sky: XrayOpticalSky, num_padded: int) -> tuple[list[tuple[float, float, float]], plates.Objects]:
    """The field's AGN, as X-ray points, and all that a plate shows: galaxies, stars, the brighter AGN."""
    side = 2 * num_padded
    fluxes = sample_agn(rng, (side * PIXEL_ARCSEC / 3600) ** 2, sky.agn_density_scale)
    y, x = rng.uniform(0, side, (2, len(fluxes))) - (side - SIZE) / 2
    mags = agn_magnitude(rng, fluxes)
    shown = (mags < plates.FAINTEST_MAG) & (np.abs(y - SIZE / 2) < SIZE / 2) & (np.abs(x - SIZE / 2) < SIZE / 2)
    seen = plates.stars(y[shown], x[shown], np.maximum(mags[shown], 14.0))
    points = list(zip(y.tolist(), x.tolist(), fluxes.tolist(), strict=True))
    return points, plates.join([plates.sample_field(rng, SIZE), seen])


def _levels(points, plate_objects: plates.Objects, counts_per_flux, empty, relative) -> dict[str, float]:
    """Of ``LEVELS``, from what is in the field by chance; medians over blocks."""
    y, x, flux = np.array(points, float).reshape(-1, 3).T
    middle = block_centres(NUM_BINS)
    in_blocks = (slice(None), middle[:, None], middle)
    scale, background, exposure = np.stack([counts_per_flux, empty, relative])[in_blocks].reshape(3, -1)
    counts = block_light((y - 0.5) / 2, (x - 0.5) / 2, flux[None], NUM_BINS) * scale + background
    light = block_light(plate_objects.y_pixels, plate_objects.x_pixels, plates.light(plate_objects, SIZE)[None], SIZE)
    return dict(zip(LEVELS, (*median(counts).tolist(), *median(light).tolist(), float(exposure.mean())), strict=True))


def _enlarge(image: Float[np.ndarray, "y x"]) -> Float[np.ndarray, "y2 x2"]:
    """Twice as many pixels each way, bilinear: each new pixel lies a quarter from an old one."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        before, after = (np.take(padded, np.arange(image.shape[axis]) + k, axis) for k in (0, 2))
        image = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis=axis + 1)
        shape = list(image.shape)
        shape[axis : axis + 2] = [shape[axis] * 2]
        image = image.reshape(shape)
    return image


def grey_images(observation: Observation) -> dict[str, UInt8[np.ndarray, "356 356"]]:
    """Both images as XAmin's pictures show them: smoothed counts and the plate, in grey between percentiles."""
    smooth = scipy.ndimage.gaussian_filter(observation.counts, _SMOOTHING_BINS)
    images = {
        "xray": (_enlarge(smooth), _XRAY_PERCENTILES, _XRAY_RANGE),
        "optical": (observation.plate, _PLATE_PERCENTILES, _PLATE_RANGE),
    }
    grey = {}
    for name, (image, percentiles, limits) in images.items():
        low, high = np.percentile(image[::3, ::3], percentiles)
        grey[name] = np.rint(xamin_grey(image, low, low + np.clip(high - low, *limits))).astype(np.uint8)
    return grey


def simulate_cutout(sky: XrayOpticalSky, object_type: str, rng: np.random.Generator, *, size: int = SIZE) -> Cutout:
    """The middle ``size`` x ``size`` pixels of 1.18" of an observation, in the channels of ``sky.channels``.

    Of 8 bits, or float32 for the channels counts and plate. Raises :class:`InputError` for an unknown type or channel,
    channels of both kinds, and more than 356 pixels.
    """
    dtype_of(sky.channels)
    if not 2 <= size <= SIZE:
        raise InputError(f"simulated_size={size}: X-ray + optical cutouts have 2 to {SIZE} pixels a side")
    observation = simulate_observation(sky, object_type, rng)
    if sky.channels[0] in RAW:
        planes = {"counts": np.repeat(np.repeat(observation.counts, 2, 0), 2, 1) / 4, "plate": observation.plate}
        image = np.stack([planes[name] for name in sky.channels], axis=-1).astype(np.float32)
    else:
        image = arrange(grey_images(observation), sky.channels)
    start = (SIZE - size) // 2
    target = observation.target
    return Cutout(
        image=np.ascontiguousarray(image[start : start + size, start : start + size]),
        label=int(object_type in XRAY_CLUSTERS),
        object_type=object_type,
        redshift=target.redshift,
        m500c_msun=target.m500c_msun,
        centre_y_pixels=target.y_pixels - start,
        centre_x_pixels=target.x_pixels - start,
        measurements={
            "flux_cgs": target.flux_cgs,
            "off_axis_arcmin": observation.off_axis_arcmin,
            "extent_arcsec": observation.extent_arcsec,
            "extension_likelihood": observation.extension_likelihood,
        },
        levels=observation.levels,
    )


def dtype_of(channels: tuple[str, ...]) -> type:
    """uint8 for XAmin's pictures, float32 for counts and plates as they are."""
    check_channels(channels, (*EIGHT_BIT, *RAW))
    raw = [name for name in channels if name in RAW]
    if raw and len(raw) < len(channels):
        raise InputError(f"channels={channels} are pictures of 8 bits and {', '.join(raw)}; use one kind")
    return np.float32 if raw else np.uint8
