"""The job scan: a map, real or simulated, into a score map and a table of candidates."""

import dataclasses
import datetime
import pathlib
import shutil
import time

import numpy as np
from astropy.table import Column, Table

from clusterjax import __version__, hosts
from clusterjax.config import SearchConfig, fingerprint
from clusterjax.errors import InputError
from clusterjax.evaluation.calibration import Calibration
from clusterjax.experiment import Network
from clusterjax.jobs.calibrating import find_calibration
from clusterjax.jobs.candidates import Catalogues, describe_candidates, read_catalogues
from clusterjax.jobs.map_checks import as_trained, check_one_scale
from clusterjax.jobs.scanning import search_map
from clusterjax.jobs.scoring import scores_inputs
from clusterjax.jobs.session import Session, is_done, read_json, say, write_json
from clusterjax.jobs.sky_outputs import write_sky_outputs
from clusterjax.jobs.vetting_page import vetting_page
from clusterjax.parallel import check_divisible
from clusterjax.report.contents import Survey
from clusterjax.report.survey import score_map_png
from clusterjax.search.detect import find_detections
from clusterjax.search.export import write_candidates
from clusterjax.search.match import completeness_curve, completeness_in_bins, match_detections, match_radii, summarise
from clusterjax.search.scales import find_at_scales
from clusterjax.search.tiles import TILE_PIXELS
from clusterjax.simulation.knobs import MicrowaveSky
from clusterjax.simulation.microwave.bands import survey_of
from clusterjax.simulation.microwave.filters import cluster_snr
from clusterjax.simulation.skies import simulation_of
from clusterjax.sky.catalogues import write_table
from clusterjax.sky.fits import read_probability_map, write_probability_map, write_sky_map
from clusterjax.sky.open_map import file_stamps, open_map
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.writing import write_bytes

MASS_EDGES_MSUN = (1e14, 1.5e14, 2e14, 3e14, 5e14, 1e15)
COMPLETE_ABOVE_MSUN = 3e14
_LOWEST_THRESHOLD = 0.05  # of the completeness curve
_MOST_FILTERED_PIXELS = 6000**2  # the filter works on the Fourier transform of all bands
_LOWEST_CLASSICAL_SCORE = 0.9  # S/N 2.2
_TILES = "tiles"
_SCORED = "score.json"  # what score.fits was made from
# Of the search config, what the scores depend on: of any map, and of one that is simulated
_OF_SCORES = ("images", "positive_class", "stride", "method", "min_valid_fraction")
_OF_SIMULATED_MAP = ("map_size", "map_ra_deg", "map_dec_deg", "map_seed", "cluster_boost")


def can_scan(config) -> bool:
    """True if there is a map to scan: given, or simulated like the data set."""
    if config.search.images:
        return True
    return config.sky is not None and simulation_of(config.sky).simulate_map is not None


def scan(session: Session) -> None:
    """Scan, detect, match; write maps, candidates, sources, matches and summary.json into the workdir's scan/.

    A map that was scanned already, with the same network, is not scanned again for other candidates or catalogues.
    Several hosts share the tiles of the map; the first one does the rest.
    """
    session.trained_network()
    own, part = session.alone(), (hosts.host_index(), hosts.num_hosts())
    if part[1] > 1 and hosts.from_first_host(lambda: _prepare_tiles(own)):
        with hosts.alone():
            _scan_tiles(own, part)
        hosts.wait_for_all()
    hosts.on_first_host(lambda: _scan(own))


def _prepare_tiles(session: Session) -> bool:
    """True if there is a map to be scanned: its folder of tiles is then ready for all hosts."""
    scored_from = _scored_from(session.trained_network(), session.config)
    folder = session.folder("scan")
    if (folder / "score.fits").exists() and is_done(folder / _SCORED, scored_from):
        return False
    read_catalogues(session.config.search)  # a mistake is told before hours of work
    _tiles_folder(folder, scored_from)
    return True


def _scan_tiles(session: Session, part: tuple[int, int]) -> None:
    """This host's part of them."""
    config, network = session.config, session.trained_network()
    check_divisible("config.search.batch_size", config.search.batch_size, session.mesh.size)
    sky, _ = _open_map(config, network)
    samples = config.evaluation.dropout_samples
    search_map(
        network, sky, config.search, session.mesh,
        dropout_samples=samples, folder=session.folder("scan") / _TILES, part=part,
    )  # fmt: skip


def _scan(session: Session) -> None:
    network, config = session.trained_network(), session.config
    check_one_scale(network)
    check_divisible("config.search.batch_size", config.search.batch_size, session.mesh.size)
    folder = session.folder("scan")
    calibration = find_calibration(session.workdir, config, network.source)
    scored_from = _scored_from(network, config)
    made_from = {
        "scores": scored_from,
        "search": dataclasses.asdict(config.search),
        "calibration": calibration and calibration.to_dict(),
    }
    if is_done(folder / "summary.json", made_from):
        say(f"scan with {network.source} is done: {folder}")
        vetting_page(session, network)
        return
    catalogues = read_catalogues(config.search)
    sky, truth = _open_map(config, network)
    provenance = {
        "model": network.config.model.name,
        "checkpoint": network.source,
        "config_sha256": fingerprint(config),
        "map": ", ".join(config.search.images) or "simulated",
        "software": f"clusterjax {__version__}",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    probability_map = _score_map(session, network, sky, folder, scored_from, provenance)
    (folder / "probability.fits").unlink(missing_ok=True)  # of an earlier scan
    probability = None
    if calibration is not None:
        probability = calibration.positive(probability_map.score).astype(np.float32)
        write_probability_map(
            folder / "probability.fits",
            dataclasses.replace(probability_map, score=probability),
            kind="probability",
            provenance=provenance,
        )
    write_sky_outputs(folder, config.search, probability_map, probability, provenance)
    if not config.search.images:
        write_sky_map(folder / "simulated_map.fits", sky)
    classical = _filter_map(config.sky, sky, folder, simulated=not config.search.images)
    summary, detections, sources = _detect_and_match(
        config.search, probability_map, classical, truth, folder, calibration, catalogues, provenance
    )
    survey = Survey(probability_map, detections, sources=sources, threshold=config.search.threshold)
    write_bytes(folder / "score.png", score_map_png(survey))
    how = read_json(folder / _SCORED)
    summary = {"seconds": how["seconds"], "num_windows": how["num_windows"], "provenance": provenance, **summary}
    write_json(folder / "summary.json", {"made_from": made_from, **summary})
    say(f"score map and {summary['num_detections']} candidates: {folder}")
    vetting_page(session, network)


def _scored_from(network: Network, config) -> dict:
    """What the scores of a map depend on."""
    search = config.search
    simulated = not search.images and config.sky is not None
    fields = (*_OF_SCORES, *(_OF_SIMULATED_MAP if simulated else ()))
    return {
        "checkpoint": network.source,
        **{name: getattr(search, name) for name in fields},
        "files": file_stamps(search.images),
        "simulation": dataclasses.asdict(config.sky) if simulated else None,
        **scores_inputs(config),
        "software": __version__,
        "tile_pixels": TILE_PIXELS,
    }


def _score_map(
    session: Session, network: Network, sky: SkyMap | MapReader, folder, scored_from: dict, provenance: dict
) -> ProbabilityMap:
    """The scores of all windows: score.fits, if it is of the same map and network, else by a scan."""
    search, path = session.config.search, folder / "score.fits"
    if path.exists() and is_done(folder / _SCORED, scored_from):
        say(f"the map is scanned already; its scores are taken from {path}")
        return read_probability_map(path)
    tiles = _tiles_folder(folder, scored_from)
    resumed = any(tiles.glob("tile_*"))
    if resumed:
        say(f"going on with a scan that was stopped: {tiles}")
    started = time.perf_counter()
    probability_map = search_map(
        network, sky, search, session.mesh,
        dropout_samples=session.config.evaluation.dropout_samples, folder=tiles,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    num_windows = int(np.isfinite(probability_map.score).sum())
    rate = "the rest of a scan" if resumed else f"{num_windows / seconds:.0f} windows/s, compilation included"
    say(f"scanned {num_windows} windows, {probability_map.area_deg2:.2f} deg2, in {seconds:.0f} s ({rate})")
    (folder / _SCORED).unlink(missing_ok=True)
    write_probability_map(path, probability_map, provenance=provenance)
    write_json(folder / _SCORED, {"made_from": scored_from, "seconds": seconds, "num_windows": num_windows})
    shutil.rmtree(tiles)
    return read_probability_map(path)  # as a rerun finds it: its WCS went through a header


def _tiles_folder(folder: pathlib.Path, scored_from: dict) -> pathlib.Path:
    """Where finished tiles wait for the rest; emptied if they are of another map, network or software."""
    tiles = folder / _TILES
    if not is_done(tiles / "made_from.json", scored_from):
        shutil.rmtree(tiles, ignore_errors=True)
        tiles.mkdir(parents=True)
        write_json(tiles / "made_from.json", {"made_from": scored_from})
    return tiles


def _filter_map(knobs, sky: SkyMap | MapReader, folder, *, simulated: bool) -> ProbabilityMap | None:
    """The classical finder on the same map: matched_filter.fits, the S/N of a cluster at each pixel of a microwave map,
    NaN about point sources.

    None for other maps, and for those too large to be filtered in one piece. Its log-odds are the S/N.
    """
    if not isinstance(knobs, MicrowaveSky) or sky.bands != survey_of(knobs).bands:
        return None
    if isinstance(sky, MapReader):
        if sky.shape[0] * sky.shape[1] > _MOST_FILTERED_PIXELS:
            say(f"no matched filter: the map has more than {_MOST_FILTERED_PIXELS / 1e6:.0f} million pixels")
            return None
        sky = sky.read(0, 0, *sky.shape)
    snr = cluster_snr(knobs, sky, tsz_painted=simulated)
    planes = np.asarray(snr[..., None], np.float32)
    snr_map = dataclasses.replace(sky, data=planes, valid=np.isfinite(snr), bands=("SNR",), units="")
    write_sky_map(folder / "matched_filter.fits", snr_map)
    return ProbabilityMap.from_log_odds(snr, sky)


def _open_map(config, network: Network) -> tuple[SkyMap | MapReader, Table | None]:
    """(map, its true sources or None): what the config names, or a fresh simulated sky."""
    search = config.search
    all_bands = network.facts.preprocess.statistics.bands
    if search.images:
        sky = open_map(search.images, bands=all_bands, pixel_scale_arcsec=network.facts.pixel_scale_arcsec)
        return as_trained(sky, network), None
    if not can_scan(config):
        raise InputError(
            f"there is no simulated map for {config.data.builder}; give the images to scan by --map=FILE.fits"
        )
    say(f"simulating a map of {search.map_size} x {search.map_size} pixels")
    return simulation_of(config.sky).simulate_map(
        config.sky,
        seed=search.map_seed,
        shape=(search.map_size, search.map_size),
        ra_deg=search.map_ra_deg,
        dec_deg=search.map_dec_deg,
        cluster_boost=search.cluster_boost,
    )


def open_searched_map(session: Session) -> SkyMap | MapReader:
    """The map of a scan that is done: what the config names, or the simulated one that it left."""
    search, network = session.config.search, session.trained_network()
    images = search.images or (str(session.workdir / "scan" / "simulated_map.fits"),)
    return open_map(
        images,
        bands=network.facts.preprocess.statistics.bands,
        pixel_scale_arcsec=network.facts.pixel_scale_arcsec,
    )


def _detect_and_match(
    search: SearchConfig,
    probability_map: ProbabilityMap,
    classical: ProbabilityMap | None,
    truth: Table | None,
    folder,
    calibration: Calibration | None,
    catalogues: Catalogues,
    provenance: dict,
) -> tuple[dict, Table, Table | None]:
    """Write candidates.*, and where there are sources: sources.*, matches.*, completeness tables.

    Returns a summary, the detections and the sources, the last two with their matches.
    """
    options = {
        "min_separation_arcmin": search.min_separation_arcmin,
        "smoothing_pixels": search.smoothing_pixels,
        "further_smoothings": search.further_smoothings_pixels,
    }
    detections = find_at_scales(probability_map, threshold=search.threshold, **options)
    if calibration is not None:
        column = Column(
            calibration.positive(np.asarray(detections["score"])).astype(np.float32),
            description="of the score, by the calibration of the evaluation",
        )
        detections.add_column(column, index=detections.colnames.index("score") + 1, name="probability")
    detections, qualities = describe_candidates(search, detections, probability_map, catalogues)
    sources = truth if catalogues.sources is None else catalogues.sources
    if sources is None:
        write_candidates(folder / "candidates", detections, provenance=provenance)
        summary = {"num_detections": len(detections), "area_deg2": probability_map.area_deg2, **qualities}
        return summary, detections, None
    simulated = "m500c_msun" in sources.colnames and "object_type" in sources.colnames and not search.catalogue
    if simulated:
        sources = sources[np.asarray(sources["m500c_msun"]) >= search.truth_mass_msun]
    radii = match_radii(sources, search.match_radius_arcmin)
    matching = match_detections(detections, sources, radius_arcmin=radii, probability_map=probability_map)
    write_candidates(folder / "candidates", matching.detections, provenance=provenance)
    write_table(folder / "sources", matching.sources)
    write_table(folder / "matches", matching.pairs())
    summary = {**summarise(matching, probability_map), **qualities}
    if simulated:
        massive = np.asarray(sources["m500c_msun"]) >= COMPLETE_ABOVE_MSUN
        lowest = find_at_scales(probability_map, threshold=min(_LOWEST_THRESHOLD, search.threshold), **options)
        matching_options = {"radius_arcmin": radii, "probability_map": probability_map, "complete_for": massive}
        curve = completeness_curve(lowest, sources, **matching_options)
        write_table(folder / "completeness_curve", curve)
        if classical is not None:
            peaks = find_detections(
                classical,
                threshold=_LOWEST_CLASSICAL_SCORE,
                min_separation_arcmin=search.min_separation_arcmin,
                smoothing_pixels=0,
            )
            peaks = peaks[probability_map.contains(peaks["ra_deg"], peaks["dec_deg"])]
            classical_curve = completeness_curve(peaks, sources, **matching_options)
            write_table(folder / "completeness_curve_classical", classical_curve)
            summary["classical_at_one_false_per_deg2"] = best_below_false_rate(classical_curve, 1.0)
        by_mass = completeness_in_bins(matching, "m500c_msun", MASS_EDGES_MSUN)
        write_table(folder / "completeness_by_mass", by_mass)
        searched = np.asarray(matching.sources["searched"], bool) & massive
        summary["num_massive"] = int(searched.sum())
        if searched.any():
            summary["completeness_massive"] = float(matching.source_is_found[searched].mean())
        summary["curve_at_one_false_per_deg2"] = best_below_false_rate(curve, 1.0)
    return summary, matching.detections, matching.sources


def best_below_false_rate(curve: Table, false_per_deg2: float) -> dict:
    """The row of greatest completeness among those with at most so many false candidates per deg2."""
    allowed = curve[np.asarray(curve["false_per_deg2"]) <= false_per_deg2]
    if not len(allowed):
        return {}
    best = allowed[int(np.argmax(np.nan_to_num(allowed["completeness"])))]
    return {name: float(best[name]) for name in ("threshold", "completeness", "purity", "false_per_deg2")}
