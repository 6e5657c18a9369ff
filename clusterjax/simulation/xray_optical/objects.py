"""What lies at the centre of a cutout, of each of the experts' classes: its X-ray sources and its look on the plate."""

import dataclasses
from collections.abc import Callable

import numpy as np

from clusterjax.simulation.knobs import XRAY_CLUSTERS, XRAY_OBJECT_TYPES, XrayOpticalSky
from clusterjax.simulation.xray_optical import plates, populations
from clusterjax.simulation.xray_optical.populations import power_law

SIZE = 356  # pixels a side of a whole cutout of 7' (Kosiba et al. 2020)
PIXEL_ARCSEC = plates.FIELD_ARCMIN * 60 / SIZE
_POSITION_ERROR_ARCSEC = 4.0  # of a source's X-ray position: XMM's, at few counts [~]
_LOWEST_REDSHIFT = 0.04
_NEARBY_GALAXY_MAG = (9.5, 14.0)
_EDGE_ARCMIN = (13.6, 15.8)  # off axis: the field of view ends at 15'
ARTEFACTS = ("arc", "streak", "noisy_ccd", "dead_columns")


@dataclasses.dataclass
class Extended:
    """A beta-model (beta = 2/3) in X-rays; positions in pixels of the whole cutout."""

    y_pixels: float
    x_pixels: float
    flux_cgs: float
    core_arcsec: float
    axis_ratio: float
    angle_rad: float


@dataclasses.dataclass
class Target:
    """The central object. ``points`` are (y, x, flux): X-ray point sources."""

    y_pixels: float
    x_pixels: float
    points: list[tuple[float, float, float]] = dataclasses.field(default_factory=list)
    extended: list[Extended] = dataclasses.field(default_factory=list)
    plate: list[plates.Objects] = dataclasses.field(default_factory=list)
    redshift: float = np.nan
    m500c_msun: float = np.nan
    off_axis_arcmin: float | None = None  # None: anywhere
    artefact: str = ""
    trail_rad: float | None = None  # direction of the columns, from the x axis; None: as the cameras are turned

    @property
    def flux_cgs(self) -> float:
        """Of all its X-ray sources; NaN where it has none."""
        fluxes = [flux for *_, flux in self.points] + [part.flux_cgs for part in self.extended]
        return float(sum(fluxes)) if fluxes else float("nan")


def _start(rng) -> Target:
    y, x = (SIZE - 1) / 2 + rng.normal(0, _POSITION_ERROR_ARCSEC / PIXEL_ARCSEC, 2)
    return Target(float(y), float(x))


def _shape(rng, low: float = 0.65) -> dict[str, float]:
    return {"axis_ratio": float(rng.uniform(low, 1.0)), "angle_rad": float(rng.uniform(0, np.pi))}


def _cluster(rng, sky: XrayOpticalSky, redshift: float) -> Target:
    target = _start(rng)
    flux = power_law(rng, sky.flux_min_cgs, sky.flux_max_cgs)
    mass = populations.sample_mass(rng, flux, redshift)
    core = populations.sample_core_radius(rng, mass, redshift, sky.core_radius_min_arcsec, sky.core_radius_max_arcsec)
    target.redshift, target.m500c_msun = redshift, mass
    y, x = target.y_pixels, target.x_pixels
    second = rng.uniform(0.2, 0.5) if rng.random() < sky.irregular else 0.0
    target.extended.append(Extended(y, x, flux * (1 - second), core, **_shape(rng)))
    if second:
        distance, angle = rng.uniform(1.5, 3.5) * core / PIXEL_ARCSEC, rng.uniform(0, 2 * np.pi)
        place = y + distance * np.sin(angle), x + distance * np.cos(angle)
        target.extended.append(Extended(*place, flux * second, core * rng.uniform(0.5, 1.0), **_shape(rng)))
    if rng.random() < sky.agn_in_clusters:
        dy, dx = rng.normal(0, core / PIXEL_ARCSEC, 2)
        target.points.append((y + dy, x + dx, flux * rng.uniform(0.1, 0.4)))
    target.plate.append(populations.cluster_galaxies(rng, mass, redshift, y, x, SIZE))
    return target


def _low_z_cluster(rng, sky):
    low, high = _LOWEST_REDSHIFT, sky.low_redshift_below
    return _cluster(rng, sky, low + (high - low) * float(np.sqrt(rng.random())))


def _high_z_cluster(rng, sky):
    """Beyond what the plates show: falling off over 0.2 in redshift."""
    span = sky.redshift_max - sky.low_redshift_below
    fraction = 1 - np.exp(-span / 0.2)
    return _cluster(rng, sky, sky.low_redshift_below - 0.2 * float(np.log(1 - fraction * rng.random())))


def _nearby_galaxy(rng, sky):
    """A large galaxy whose gas and binaries shine in X-rays."""
    target = _start(rng)
    mag = rng.uniform(*_NEARBY_GALAXY_MAG)
    radius = 12.0 * 10 ** (-0.12 * (mag - 13) + rng.normal(0, 0.1))
    shape = _shape(rng, 0.3)
    target.redshift = float(rng.uniform(0.002, 0.02))
    y, x = target.y_pixels, target.x_pixels
    flux = power_law(rng, sky.flux_min_cgs, 5e-13)
    core = float(np.clip(radius * rng.uniform(0.2, 0.7), 3, 40))
    nucleus = rng.uniform(0.1, 0.7)
    target.extended.append(Extended(y, x, flux * (1 - nucleus), core, **shape))
    target.points.append((y, x, flux * nucleus))
    shape = (np.array([shape["axis_ratio"]]), np.array([shape["angle_rad"]]))
    target.plate.append(plates.Objects(np.array([y]), np.array([x]), np.array([mag]), np.array([radius]), *shape))
    return target


def _add_point(rng, sky: XrayOpticalSky, target: Target, flux: float) -> None:
    """At the target's position; by chance with fainter sources close by, so that it looks extended."""
    y, x = target.y_pixels, target.x_pixels
    target.points.append((y, x, flux))
    if rng.random() < sky.blended:
        for _ in range(int(rng.integers(1, 4))):
            angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(6, 18) / PIXEL_ARCSEC
            place = y + distance * np.sin(angle), x + distance * np.cos(angle)
            target.points.append((*place, flux * rng.uniform(0.1, 0.5)))


def _point_source(rng, sky):
    """A far AGN, faint on the plate."""
    target = _start(rng)
    flux = power_law(rng, sky.flux_min_cgs, 2e-13)
    _add_point(rng, sky, target, flux)
    mag = max(float(populations.agn_magnitude(rng, flux)), 18.5)
    if mag < plates.FAINTEST_MAG:
        target.plate.append(plates.stars(target.y_pixels, target.x_pixels, mag))
    return target


def _star_agn(rng, sky):
    """A bright star, or a bright quasar: points in both images."""
    target = _start(rng)
    flux = power_law(rng, sky.flux_min_cgs, 5e-13)
    mag = rng.uniform(7.0, 14.0) if rng.random() < 0.5 else rng.uniform(14.0, 18.5)
    _add_point(rng, sky, target, flux)
    target.plate.append(plates.stars(target.y_pixels, target.x_pixels, mag))
    return target


def _double(rng, sky):
    """Two or three point sources so close that they are taken for one that is extended."""
    target = _start(rng)
    for _ in range(2 if rng.random() < 0.75 else 3):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(6, 15) / PIXEL_ARCSEC
        y = target.y_pixels + distance * np.sin(angle)
        x = target.x_pixels + distance * np.cos(angle)
        flux = power_law(rng, sky.flux_min_cgs, 1e-13)
        target.points.append((y, x, flux))
        mag = float(populations.agn_magnitude(rng, flux))
        if mag < plates.FAINTEST_MAG:
            target.plate.append(plates.stars(y, x, max(mag, 15.0)))
    return target


def _artefact(rng, sky):
    """Light that mirrors bring in from outside, a streak of a bright source, a CCD gone noisy, dead columns."""
    target = _start(rng)
    target.artefact = ARTEFACTS[int(rng.integers(len(ARTEFACTS)))]
    y, x = target.y_pixels, target.x_pixels
    if target.artefact == "streak":
        # A source so bright that it leaves a trail while the camera is read out; what was detected lies on the trail.
        target.trail_rad = float(rng.uniform(0, 2 * np.pi))
        distance = rng.uniform(60, 170) / PIXEL_ARCSEC
        y, x = y + distance * np.sin(target.trail_rad), x + distance * np.cos(target.trail_rad)
        target.points.append((y, x, power_law(rng, 4e-12, 4e-11, 0.5)))
        target.plate.append(plates.stars(y, x, rng.uniform(6, 14)))
    elif target.artefact == "dead_columns":
        target.points.append((y, x, power_law(rng, 3e-14, 3e-13)))
    return target


def _edge(rng, sky):
    """At the end of the field of view, where half of a source or the background's step is taken for one."""
    target = _start(rng)
    target.off_axis_arcmin = float(rng.uniform(*_EDGE_ARCMIN))
    if rng.random() < 0.5:
        target.points.append((target.y_pixels, target.x_pixels, power_law(rng, 3e-14, 3e-13)))
    return target


RECIPES: dict[str, Callable[[np.random.Generator, XrayOpticalSky], Target]] = {
    "low_z_cluster": _low_z_cluster,
    "high_z_cluster": _high_z_cluster,
    "nearby_galaxy": _nearby_galaxy,
    "point_source": _point_source,
    "star_agn": _star_agn,
    "double": _double,
    "artefact": _artefact,
    "edge": _edge,
}
assert tuple(RECIPES) == XRAY_OBJECT_TYPES
assert tuple(RECIPES)[:2] == XRAY_CLUSTERS
