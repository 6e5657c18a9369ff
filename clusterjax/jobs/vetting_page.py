"""The vetting page of a scan: every candidate with its pictures, and what the network saw in the best ones."""

import dataclasses

import numpy as np
from astropy.table import Table

from clusterjax.config import ExplainConfig, VettingConfig
from clusterjax.experiment import Network
from clusterjax.jobs.explaining import mean_attributions, mean_grad_cam, on_cutout_pixels
from clusterjax.jobs.session import Session, is_done, read_json, say, write_json
from clusterjax.report.images import (
    band_pictures,
    block_means,
    false_colour,
    heat_pictures,
    score_pictures,
    signed_pictures,
)
from clusterjax.report.map_pictures import cutouts_of, map_stretch, score_pieces
from clusterjax.report.vetting import Pictures, VettingPage, write_vetting_page
from clusterjax.search.flags import BASE_FLAGS, Flag
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import read_probability_map
from clusterjax.sky.open_map import open_map
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.sky.units import in_units
from clusterjax.training.layers_within import choose_grad_cam_layer, list_map_layers

_MOST_PICTURE_PIXELS = 96  # a side; larger cutouts are averaged over blocks
_AT_A_TIME = 64  # candidates whose pixels are in memory
_COMPOSITE_OF = (2, 3)  # so many bands have colours
_FIELD_WINDOWS = 2.0  # sides of the cutout that a viewer elsewhere shows at first


def vetting_page(session: Session, network: Network) -> None:
    """vetting/index.html of the workdir's scan, if there are candidates and ``config.vetting`` asks for it.

    A page of the same scan and settings is left as it is.
    """
    config, scan = session.config, session.workdir / "scan"
    summary = read_json(scan / "summary.json")
    folder = session.workdir / "vetting"
    path, made = folder / "index.html", folder / "page.json"
    made_from = {
        "scan": summary["provenance"],
        "vetting": dataclasses.asdict(config.vetting),
        "explain": [config.explain.num_steps, config.explain.baseline, config.explain.grad_cam_layer],
    }
    if path.exists() and is_done(made, made_from):
        say(f"vetting page is done: {path}")
        return
    for stale in (path, made):
        stale.unlink(missing_ok=True)
    candidates = read_table(scan / "candidates.fits")
    if not config.vetting.num_candidates or not len(candidates):
        say("no vetting page: " + ("there are no candidates" if not len(candidates) else "none is asked for"))
        return
    shown = candidates[: config.vetting.num_candidates]
    sky = open_map(
        config.search.images or [scan / "simulated_map.fits"],
        bands=network.facts.preprocess.statistics.bands,
        pixel_scale_arcsec=network.facts.pixel_scale_arcsec,
    )
    sky = in_units(sky, network.facts.units) or sky
    side = config.vetting.cutout_pixels or network.facts.image_size
    pictures = [
        *_sky_pictures(sky, shown, side),
        _score_pictures(read_probability_map(scan / "score.fits"), shown, side),
        *_saliency_pictures(network, config.vetting, config.explain, config.search.positive_class, sky, shown, side),
    ]
    side_arcmin = side * sky.pixel_scale_arcsec / 60
    page = VettingPage(
        title=session.workdir.name,
        subtitle=f"{summary['provenance']['map']}, {summary['area_deg2']:.2f} deg², by {network.config.model.name}",
        candidates=candidates,
        num_shown=len(shown),
        pictures=pictures,
        flags={name: Flag(**flag) for name, flag in summary.get("flags", {}).items()} or BASE_FLAGS,
        statuses=_statuses(shown, simulated=not config.search.images),
        radius_arcmin=config.search.match_radius_arcmin,
        field_deg=round(_FIELD_WINDOWS * side_arcmin / 60, 4),
        caption=f"{side_arcmin:.1f}′ a side, the candidate in the middle, turned as the map is; one stretch for all.",
    )
    write_vetting_page(path, page)
    write_json(made, {"made_from": made_from})
    say(f"vetting page, {len(shown)} candidates, {path.stat().st_size / 1e6:.1f} MB: {path}")


def _statuses(shown: Table, *, simulated: bool) -> list[str]:
    """known, new ...; of a simulated map, whether there is a cluster. Empty where nothing was compared."""
    if "status" in shown.colnames:
        return [str(word) for word in shown["status"]]
    if "source_index" not in shown.colnames:
        return []
    words = np.array(["false", "true"] if simulated else ["new", "known"])
    return words[(np.asarray(shown["source_index"]) >= 0).astype(int)].tolist()


def _sky_pictures(sky: SkyMap | MapReader, shown: Table, side: int) -> list[Pictures]:
    """The bands in colour where that can be done, and each by itself."""
    stretch, block = map_stretch(sky), _block(side)
    colour, bands = [], []
    for start in range(0, len(shown), _AT_A_TIME):
        cutouts = cutouts_of(sky, shown[start : start + _AT_A_TIME], side)
        cutouts = np.stack([block_means(cutout, block) for cutout in cutouts])
        bands.append(band_pictures(cutouts, stretch))
        colour.append(false_colour(cutouts, stretch) if len(sky.bands) in _COMPOSITE_OF else bands[-1][:, :, :, 0])
    pictures = [
        Pictures(band, np.concatenate([part[:, :, :, i] for part in bands])) for i, band in enumerate(sky.bands)
    ]
    if len(sky.bands) in _COMPOSITE_OF:
        pictures.insert(0, Pictures("colour", np.concatenate(colour), f"{', '.join(sky.bands)}, from blue to red"))
    return pictures


def _score_pictures(probability_map: ProbabilityMap, shown: Table, side: int) -> Pictures:
    pieces = score_pieces(probability_map, shown, side)[:, :: _block(side), :: _block(side)]
    note = f"of windows {probability_map.stride_pixels} pixels apart: white is 0, dark blue is 1"
    return Pictures("score", score_pictures(pieces), note, exact=True)


def _saliency_pictures(
    network: Network, vetting: VettingConfig, explain: ExplainConfig, positive_class: str, sky, shown, side: int
) -> list[Pictures]:
    """What speaks for a cluster in each of the best candidates."""
    best = shown[: vetting.num_saliency]
    if not len(best):
        return []
    size, preprocess = network.facts.image_size, network.facts.preprocess
    cutouts = cutouts_of(sky, best, size).astype(np.float32)
    inputs = np.asarray(preprocess(cutouts))
    targets = np.full(len(best), network.facts.class_index(positive_class), np.int32)
    if vetting.saliency == "grad_cam":
        layers = list_map_layers(network.graphdef, *network.weights()[0], input_shape=inputs.shape[1:])
        layer = choose_grad_cam_layer(layers, explain.grad_cam_layer)
        maps = mean_grad_cam(network, layer, explain, inputs, targets)
        placed, draw = on_cutout_pixels(maps, preprocess, (size, size)), heat_pictures
        note = f"Grad-CAM of {layer.name}: bright where it finds what speaks for {positive_class}"
    else:
        attributed = mean_attributions(network, explain, inputs, targets, cutouts.shape[1:])
        total = attributed.attributions.sum(axis=3)
        placed, draw = on_cutout_pixels(total, preprocess, (size, size), is_density=True), signed_pictures
        note = f"integrated gradients: red speaks for {positive_class}, blue against it"
    placed = _about_the_middle(placed, side)
    block = _block(side)
    small = np.stack([block_means(one[..., None], block)[..., 0] for one in placed])
    return [Pictures("saliency", draw(small), note)]


def _block(side: int) -> int:
    return -(-side // _MOST_PICTURE_PIXELS)


def _about_the_middle(maps: np.ndarray, side: int) -> np.ndarray:
    """Squares (n, y, x) of another side about the same pixel, ``size // 2``; NaN where there was nothing."""
    before = side // 2 - maps.shape[1] // 2
    after = side - maps.shape[1] - before
    maps = np.pad(maps, [(0, 0), *[(max(before, 0), max(after, 0))] * 2], constant_values=np.nan)
    return maps[:, max(-before, 0) : max(-before, 0) + side, max(-before, 0) : max(-before, 0) + side]
