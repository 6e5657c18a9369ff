"""Simulated clusters put into a map, which a finder then searches again: what it makes of each of them.

The whole map is searched in several rounds, in each of which the clusters are so few that none sees another. Any finder
that makes a score map is asked the same: the same clusters at the same places.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from astropy import units as u
from astropy.table import Column, Table, vstack
from scipy.spatial import cKDTree
from tqdm import tqdm

from clusterjax.errors import InputError
from clusterjax.odds import log_odds
from clusterjax.search.match import match_radii
from clusterjax.search.scales import characterise_at_scales, find_at_scales
from clusterjax.sky.catalogues import pairs_within, positions
from clusterjax.sky.fits import read_fits_table, write_fits_table
from clusterjax.sky.geometry import unit_vectors
from clusterjax.sky.selection import draw_within, keep_apart
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

_STREAM = 7_010  # keeps the rounds' random numbers apart from those of maps with the same seed
_COVERAGE = 0.25  # of the map by discs of half the separation: at 0.55 no more would fit, and edges would be preferred
_DRAWS = 8  # positions drawn for each that is wanted

_MEASURED = (
    ("searched", bool, None, "lies where the finder scored the map without injections"),
    ("log_odds", np.float64, None, "of the highest detection within the radius; NaN: none above the lowest threshold"),
    ("score", np.float64, None, "the same as a score"),
    ("found", bool, None, "that is at the finder's threshold or above"),
    ("separation_arcmin", np.float64, u.arcmin, "of that detection from the truth"),
    ("significance", np.float64, None, "of that detection, above the map's own null distribution"),
    ("position_error_arcmin", np.float64, u.arcmin, "1 sigma along one axis, as the finder says"),
    (
        "extent_arcmin",
        np.float64,
        u.arcmin,
        "sigma of the peak along its major axis, blurred by the window; NaN for finders without windows",
    ),
)


@dataclasses.dataclass(frozen=True)
class Finder:
    """Something that scores a map and the settings of the candidates' search on it.

    ``threshold`` is that of candidates; down to ``lowest_threshold`` detections are kept, to see what others would do.
    """

    name: str
    score: Callable[[SkyMap], ProbabilityMap]
    threshold: float | int
    lowest_threshold: float | int
    min_separation_arcmin: float | int
    smoothing_pixels: float | int | None = None
    further_smoothings: Sequence[float | int] = ()

    def detect(self, probability_map: ProbabilityMap, *, threshold: float | int | None = None) -> Table:
        """Detections down to ``threshold``, by default the lowest."""
        return find_at_scales(
            probability_map,
            threshold=self.lowest_threshold if threshold is None else threshold,
            min_separation_arcmin=self.min_separation_arcmin,
            smoothing_pixels=self.smoothing_pixels,
            further_smoothings=self.further_smoothings,
        )


@dataclasses.dataclass(frozen=True)
class Injections:
    """What is injected, and where it must not be.

    ``targets`` has m500c_msun, redshift and theta500_arcmin, in the order of the injection. Positions are uniform on
    the sphere where ``footprint`` was scored, ``separation_arcmin`` from each other, and from each of ``avoid``,
    (ra_deg, dec_deg, arcmin), so far. A detection within ``match_radius_arcmin``, or half of theta500 up to twice that,
    is of the injection, as for a catalogue's clusters.
    """

    targets: Table
    footprint: ProbabilityMap
    separation_arcmin: float | int
    match_radius_arcmin: float | int
    avoid: Sequence[tuple[np.ndarray, np.ndarray, float | int]] = ()
    seed: int = 0

    def place(self, number_of_round: int, done: int) -> tuple[np.random.Generator, Table]:
        """(the round's generator, as many of the targets after the first ``done`` as the map holds, with positions)."""
        rng = np.random.default_rng([self.seed, _STREAM, number_of_round])
        discs = np.pi * (self.separation_arcmin / 120) ** 2
        most = min(max(int(_COVERAGE * self.footprint.area_deg2 / discs), 1), len(self.targets) - done)
        ra, dec = draw_within(rng, self.footprint, _DRAWS * most + 256)
        free = self.is_free(ra, dec)
        rows = np.flatnonzero(free)[keep_apart(ra[free], dec[free], self.separation_arcmin, at_most=most)]
        if not len(rows):
            raise InputError(
                f"the map has no room for an injected cluster: {self.footprint.area_deg2:.3g} deg2 were searched, and "
                f"{1 - free.mean() if len(free) else 1:.0%} of them are near known clusters or candidates"
            )
        chosen = self.targets[done : done + len(rows)]
        chosen["round"] = np.full(len(chosen), number_of_round)
        chosen["ra_deg"] = Column(ra[rows], unit=u.deg)
        chosen["dec_deg"] = Column(dec[rows], unit=u.deg)
        chosen["radius_arcmin"] = Column(match_radii(chosen, self.match_radius_arcmin), unit=u.arcmin)
        return rng, chosen

    def is_free(self, ra_deg: np.ndarray, dec_deg: np.ndarray) -> np.ndarray:
        """True for positions that are far enough from all that is to be avoided."""
        free = np.ones(len(ra_deg), bool)
        vectors = unit_vectors(ra_deg, dec_deg)
        for there_ra, there_dec, radius_arcmin in self.avoid:
            if len(there_ra):
                chord = 2 * np.sin(np.radians(radius_arcmin / 60) / 2)
                free &= cKDTree(unit_vectors(there_ra, there_dec)).query(vectors)[0] > chord
        return free

    def excluded_fraction(self, *, draws: int = 20_000) -> float:
        """Which part of the footprint is too near to what is avoided."""
        rng = np.random.default_rng([self.seed, _STREAM])
        free = self.is_free(*draw_within(rng, self.footprint, draws))
        return float(1 - free.mean()) if len(free) else 0.0


def make_targets(
    masses_msun: Sequence[float | int], redshifts: Sequence[float | int], per_cell: int, *, seed: int
) -> Table:
    """Each mass at each redshift ``per_cell`` times, in an order that mixes them: any first part is balanced."""
    rng = np.random.default_rng([seed, _STREAM])
    grid = np.array(np.meshgrid(masses_msun, redshifts, indexing="ij")).reshape(2, -1)
    mass, redshift = np.concatenate([rng.permutation(grid, axis=1) for _ in range(per_cell)], axis=1)
    return Table([Column(mass, name="m500c_msun", unit=u.Msun), Column(redshift, name="redshift")])


def inject_and_find(
    sky: SkyMap,
    injections: Injections,
    inject: Callable[[np.random.Generator, SkyMap, Table, np.ndarray, np.ndarray], SkyMap],
    finders: Sequence[Finder],
    footprints: Mapping[str, ProbabilityMap],
    *,
    folder: pathlib.Path | None = None,
    max_rounds: int | None = None,
    progress: bool = True,
) -> dict[str, Table]:
    """Of each finder a table with a row an injected cluster: truth, and what was made of it.

    ``inject(rng, sky, clusters, y_pixels, x_pixels)`` is the map with the clusters; ``footprints`` what each finder
    made of the map without them, by its name. Finished rounds are kept in
    ``folder``, and those that lie there are not done again; the caller sees to it that they are of the same map,
    injections and finders. Stops after ``max_rounds``.
    """
    rounds: list[dict[str, Table]] = []
    total = len(injections.targets)
    with tqdm(total=total, desc="inject", unit=" clusters", disable=not progress) as bar:
        done = 0
        while done < total and (max_rounds is None or len(rounds) < max_rounds):
            tables = _read_round(folder, len(rounds), finders)
            if tables is None:
                rng, clusters = injections.place(len(rounds), done)
                ra, dec = positions(clusters)
                injected = inject(rng, sky, clusters, *sky.sky_to_pixel(ra, dec))
                tables = {
                    finder.name: measure(finder, injected, clusters, footprints[finder.name]) for finder in finders
                }
                _write_round(folder, len(rounds), tables)
            rounds.append(tables)
            number = len(next(iter(tables.values())))
            done += number
            bar.update(number)
    return {
        finder.name: vstack([tables[finder.name] for tables in rounds], metadata_conflicts="silent")
        for finder in finders
    }


def measure(finder: Finder, injected: SkyMap, clusters: Table, footprint: ProbabilityMap) -> Table:
    """``clusters`` with what ``finder`` makes of them on the map that holds them: the highest detection in reach.

    What an injection itself hides from the finder (a radio galaxy whose surroundings are masked) counts as not found:
    ``footprint`` is that of the map without injections.
    """
    probability_map = finder.score(injected)
    detections = finder.detect(probability_map)
    row = _highest_within(detections, clusters)
    matched = row >= 0
    qualities, _ = characterise_at_scales(
        detections[row[matched]], probability_map, smoothing_pixels=finder.smoothing_pixels
    )
    separation = _separations(detections, clusters, row)
    values = {name: np.full(len(clusters), np.nan) for name, kind, _, _ in _MEASURED if kind is not bool}
    values["log_odds"][matched] = qualities["log_odds"]
    values["separation_arcmin"][matched] = separation[matched]
    values["significance"][matched] = qualities["significance"]
    if probability_map.window_pixels > 1:  # it is measured within a window
        values["extent_arcmin"][matched] = qualities["extent_major_arcmin"]
    errors = [np.asarray(qualities[f"{axis}_error_arcmin"], float) for axis in ("ra", "dec")]
    values["position_error_arcmin"][matched] = np.hypot(*errors) / np.sqrt(2)
    values["score"] = 1 / (1 + np.exp(-values["log_odds"]))
    # NaN compares as not found.
    values["found"] = values["log_odds"] >= float(log_odds(np.array(finder.threshold)))
    values["searched"] = footprint.contains(*positions(clusters))
    result = clusters.copy()
    for name, kind, unit, text in _MEASURED:
        result[name] = Column(np.asarray(values[name], kind), unit=unit, description=text)
    return result


def _highest_within(detections: Table, clusters: Table) -> np.ndarray:
    """The row of the highest detection within each cluster's radius; -1 for none."""
    radii = np.asarray(clusters["radius_arcmin"], float)
    index, cluster, separation = pairs_within(positions(detections), positions(clusters), float(radii.max()))
    near = separation <= radii[cluster]
    index, cluster = index[near], cluster[near]
    row = np.full(len(clusters), -1)
    # Highest last, so that it stays.
    order = np.argsort(np.asarray(detections["log_odds"], float)[index], kind="stable")
    row[cluster[order]] = index[order]
    return row


def _separations(detections: Table, clusters: Table, row: np.ndarray) -> np.ndarray:
    """Arcmin between each cluster and its detection; meaningless where it has none."""
    if not len(detections):
        return np.full(len(clusters), np.nan)
    there, here = (unit_vectors(*positions(table)) for table in (detections[np.maximum(row, 0)], clusters))
    return 2 * np.degrees(np.arcsin(np.minimum(np.linalg.norm(there - here, axis=1) / 2, 1))) * 60


def _round_path(folder: pathlib.Path, number: int, finder: str) -> pathlib.Path:
    return folder / f"round_{number:04d}_{finder}.fits"


def _read_round(folder: pathlib.Path | None, number: int, finders: Sequence[Finder]) -> dict[str, Table] | None:
    """A finished round; None if it is not there, or not whole."""
    if folder is None:
        return None
    try:
        return {finder.name: read_fits_table(_round_path(folder, number, finder.name)) for finder in finders}
    except InputError:
        return None


def _write_round(folder: pathlib.Path | None, number: int, tables: dict[str, Table]) -> None:
    for name, table in tables.items() if folder is not None else ():
        write_fits_table(_round_path(folder, number, name), table)
