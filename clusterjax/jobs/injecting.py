"""The job inject: the selection function of the scan, by simulated clusters put into its map."""

import dataclasses
import functools
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Table

from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.jobs.finders import NETWORK, filter_finder, knobs_of, network_finder
from clusterjax.jobs.searching import COMPLETE_ABOVE_MSUN, open_searched_map, scan
from clusterjax.jobs.selection_figures import Control, make_selection, summary_of
from clusterjax.jobs.session import Session, is_done, read_json, say, write_json
from clusterjax.search.inject import Finder, Injections, inject_and_find, make_targets
from clusterjax.simulation.cosmology import theta500_arcmin
from clusterjax.simulation.haloes import Haloes
from clusterjax.simulation.knobs import InfraredSky, MicrowaveSky
from clusterjax.simulation.skies import simulation_of
from clusterjax.sky.catalogues import positions, read_table, write_table
from clusterjax.sky.fits import read_probability_map
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

FOLDER, SELECTION = "inject", "selection.fits"  # of the network; of others selection_NAME.fits
_MOST_PIXELS = 400_000_000  # of all bands: the map is kept in memory, with a copy
_CONTROL_SEED = 100_000  # added to the scanned map's, for maps without clusters


def inject(session: Session) -> None:
    """Put clusters into the scanned map, scan it again, write selection.fits and the like into the workdir's inject/.

    The scan is done first, if it is not. Stopped, the same command goes on with the rounds that are missing.
    """
    scan(session)
    config, network = session.config, session.trained_network()
    folder, scanned = session.folder(FOLDER), session.workdir / "scan"
    sky = _whole_map(session)
    knobs = knobs_of(config, sky)
    made_from = {
        "scan": read_json(scanned / "summary.json")["made_from"],
        "inject": dataclasses.asdict(config.inject),
        "sky": dataclasses.asdict(knobs),
    }
    if is_done(folder / "summary.json", made_from):
        say(f"selection function of {network.source} is done: {folder}")
        return
    finders = [network_finder(network, config, session.mesh)]
    bases = {finders[0].name: read_probability_map(scanned / "score.fits")}
    if isinstance(knobs, MicrowaveSky):
        painted = not config.search.images
        classical = filter_finder(knobs, config, sky, bases[finders[0].name], tsz_painted=painted)
        finders.append(classical)
        bases[classical.name] = classical.score(sky)
    injections = _injections(config, finders, bases, scanned)
    tables = inject_and_find(
        sky, injections, _injector(knobs), finders, bases,
        folder=_rounds_folder(folder, made_from), max_rounds=config.inject.max_rounds,
    )  # fmt: skip
    controls = _control_maps(config, knobs, sky)
    summary: dict = {"excluded_fraction": injections.excluded_fraction(), "controls": [one.kind for one in controls]}
    first = None
    for finder in finders:
        say(f"fitting the selection function of the {finder.name.replace('_', ' ')}")
        selection = make_selection(
            finder, tables[finder.name], sky, bases[finder.name], controls, config, network.source
        )
        write_table(folder / f"injections_{finder.name}", selection.tables["INJECTIONS"])
        selection.write(selection_path(folder, finder.name))
        first = first or selection
        summary[finder.name] = summary_of(selection, first)
    write_json(folder / "summary.json", {"made_from": made_from, **summary})
    say(f"selection function: {folder / SELECTION}")


def selection_path(folder: pathlib.Path, finder: str) -> pathlib.Path:
    return folder / (SELECTION if finder == NETWORK else f"selection_{finder}.fits")


def _whole_map(session: Session) -> SkyMap:
    sky = open_searched_map(session)
    if sky.shape[0] * sky.shape[1] * len(sky.bands) > _MOST_PIXELS:
        raise InputError(
            f"a map of {sky.shape[0]} x {sky.shape[1]} pixels in {len(sky.bands)} bands is too large to put "
            f"clusters into (at most {_MOST_PIXELS:.0e} pixels in all bands); take a typical piece of it"
        )
    return sky if isinstance(sky, SkyMap) else sky.read(0, 0, *sky.shape)


def _rounds_folder(folder: pathlib.Path, made_from: Mapping) -> pathlib.Path:
    """Where finished rounds wait for the rest; emptied if they are of another scan or of other injections."""
    rounds = folder / "rounds"
    if is_done(rounds / "made_from.json", made_from):
        say(f"going on with injections that were stopped: {rounds}")
        return rounds
    shutil.rmtree(rounds, ignore_errors=True)
    rounds.mkdir(parents=True)
    write_json(rounds / "made_from.json", {"made_from": made_from})
    return rounds


def _injections(
    config: ExperimentConfig, finders: Sequence[Finder], bases: Mapping[str, ProbabilityMap], scanned: pathlib.Path
) -> Injections:
    options, search = config.inject, config.search
    targets = make_targets(options.masses_msun, options.redshifts, options.per_cell, seed=options.seed)
    targets["theta500_arcmin"] = theta500_arcmin(np.asarray(targets["m500c_msun"]), np.asarray(targets["redshift"]))
    avoid = []
    if (scanned / "sources.fits").exists():
        known = read_table(scanned / "sources.fits")
        if not search.images:  # lesser haloes are the sky that clusters are to be told from
            known = known[np.asarray(known["m500c_msun"]) >= COMPLETE_ABOVE_MSUN]
        avoid.append((*positions(known), options.min_distance_arcmin))
    if options.avoid_candidates:
        for finder in finders:
            candidates = finder.detect(bases[finder.name], threshold=finder.threshold)
            avoid.append((*positions(candidates), 2 * search.match_radius_arcmin))
    return Injections(
        targets, bases[finders[0].name], options.min_distance_arcmin, search.match_radius_arcmin, avoid, options.seed
    )


def _injector(knobs: InfraredSky | MicrowaveSky):
    paint = simulation_of(knobs).inject_clusters

    def injected(rng, sky: SkyMap, clusters: Table, y, x) -> SkyMap:
        haloes = Haloes(np.asarray(clusters["m500c_msun"], float), np.asarray(clusters["redshift"], float))
        return paint(rng, knobs, sky, haloes, y, x)

    return injected


def _control_maps(config: ExperimentConfig, knobs: InfraredSky | MicrowaveSky, sky: SkyMap) -> list[Control]:
    """Maps of the sky without clusters, as near to the scanned one as can be had.

    Of a simulated map, further draws without haloes above the group range. A real microwave map upside down: clusters
    are holes in it, hence peaks no more, and noise and CMB are as likely one way as the other; but what shines (radio
    galaxies, the Galaxy) becomes holes, so that it counts too many. A real infrared map has no such trick: turned, its
    clusters are still clusters, and with its galaxies shuffled the groups and chance alignments, which most false
    candidates are, would be gone. There the simulated sky has to do.
    """
    search, simulation = config.search, simulation_of(knobs)
    if search.images and isinstance(knobs, MicrowaveSky):
        return [Control("the map upside down", [lambda: dataclasses.replace(sky, data=-sky.data)])]
    if not config.inject.control_maps:
        return []
    shape = (search.map_size,) * 2

    def draw(number: int) -> SkyMap:
        return simulation.simulate_map(
            knobs, seed=search.map_seed + _CONTROL_SEED + number, shape=shape, ra_deg=search.map_ra_deg,
            dec_deg=search.map_dec_deg, cluster_boost=0.0,
        )[0]  # fmt: skip

    kind = "simulated sky without clusters" + (", not of this map" if search.images else "")
    return [Control(kind, [functools.partial(draw, number) for number in range(config.inject.control_maps)])]
