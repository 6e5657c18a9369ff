"""The section of a report about a scanned map: the map, its candidates, completeness and purity."""

import functools
from collections.abc import Mapping

import numpy as np
from astropy.table import Table

from clusterjax.report import plots_scores, plots_sky
from clusterjax.report.blocks import Candidate, CandidatesBlock, FigureBlock, Section, TableBlock
from clusterjax.report.cells import column_name, format_value, sexagesimal
from clusterjax.report.contents import Survey
from clusterjax.report.images import false_colour, fit_stretch, image_png
from clusterjax.report.map_pictures import candidate_pictures, shrink
from clusterjax.report.theme import LIGHT, to_png

MAX_CANDIDATES = 60  # on the page; the files hold all
_MAP_SIDE = 1100  # pixels of the picture of the sky
_FACTS = ("object_type", "redshift", "m500c_msun")  # of a matched source


def is_true(survey: Survey) -> np.ndarray | None:
    """Which detections have a source; None where nothing was compared."""
    if "source_index" not in survey.detections.colnames:
        return None
    return np.asarray(survey.detections["source_index"]) >= 0


def _missed(survey: Survey) -> Table | None:
    """Sources that could have been found and were not."""
    if survey.sources is None or "detection_index" not in survey.sources.colnames:
        return None
    missed = np.asarray(survey.sources["detection_index"]) < 0
    if "searched" in survey.sources.colnames:
        missed &= np.asarray(survey.sources["searched"], bool)
    return survey.sources[missed]


def _marks(survey: Survey, to_pixels) -> plots_sky.Marks:
    """Candidates and missed sources on pixels: ``to_pixels(ra_deg, dec_deg)`` -> (y, x)."""

    def pixels(table):
        return to_pixels(np.asarray(table["ra_deg"], float), np.asarray(table["dec_deg"], float))

    y, x = pixels(survey.detections)
    missed = _missed(survey)
    missed_y, missed_x = pixels(missed) if missed is not None and len(missed) else ((), ())
    number = np.asarray(survey.detections["detection_id"], float)
    return plots_sky.Marks(x, y, number, is_true(survey), missed_x, missed_y, survey.verdicts)


def survey_section(survey: Survey) -> Section:
    blocks: list = [*_map_blocks(survey)]
    if survey.completeness_curve is not None and len(survey.completeness_curve):
        blocks += [
            FigureBlock(
                "completeness_purity",
                functools.partial(
                    plots_sky.plot_completeness_curve,
                    survey.completeness_curve,
                    threshold=survey.threshold,
                    target=survey.target,
                    sources=survey.complete_for,
                    others={} if survey.classical_curve is None else {survey.classical_name: survey.classical_curve},
                ),
                f"Completeness and purity against false candidates per square degree, for {survey.complete_for}.",
                f"Completeness ({survey.complete_for}) and purity as the threshold falls from left to right. "
                "None at all is drawn at the left end. Pick the threshold where the false candidates are as many as a "
                "follow-up can bear.",
            ),
            TableBlock("completeness_curve", survey.completeness_curve, "The curve as a table.", folded=True),
        ]
    blocks += _mass_blocks(survey)
    if survey.summary:
        blocks.append(TableBlock("survey_summary", summary_table(survey.summary), "The scan in figures."))
    blocks.append(_candidates_block(survey))
    blocks.append(TableBlock("candidates", survey.detections, "All candidates, every column.", folded=True, columns=()))
    if survey.sources is not None:
        blocks.append(TableBlock("sources", survey.sources, "The sources they were matched with.", columns=()))
    return Section("survey", "The map and its candidates", _lead(survey), blocks)


def summary_table(summary: Mapping) -> Table:
    """Quantities and their values as text, with their intervals (``_low``, ``_high``) or errors (``_error``) beside."""
    quantities, values = [], []
    for name, value in summary.items():
        if name.endswith(("_low", "_high", "_error")) or isinstance(value, (Mapping, list, tuple)):
            continue
        text = format_value(value, name)
        if f"{name}_low" in summary:
            text += f" ({format_value(summary[f'{name}_low'])} to {format_value(summary[f'{name}_high'])})"
        elif f"{name}_error" in summary:
            text += f" ± {format_value(summary[f'{name}_error'])}"
        quantities.append(column_name(name).replace("num ", "number of ", 1))
        values.append(text)
    return Table({"quantity": quantities, "value": values}, dtype=[str, str])


def _lead(survey: Survey) -> str:
    true, number = is_true(survey), len(survey.detections)
    lead = f"{survey.probability_map.area_deg2:.2f} deg² searched, {number:,} candidate{'' if number == 1 else 's'}"
    if survey.threshold is not None:
        lead += f" at a score of {survey.threshold:g} or more"
    if true is not None:
        lead += f", {int(true.sum()):,} of them on a catalogued source"
    return f"{survey.description} {lead}.".strip()


def _map_blocks(survey: Survey) -> list[FigureBlock]:
    blocks = []
    pm = survey.probability_map
    if survey.sky_map is not None:
        sky = survey.sky_map
        small, block = shrink(sky, _MAP_SIDE)
        rgb = false_colour(small, fit_stretch(small, percentile=99.8))
        covered = (small.shape[0] * block, small.shape[1] * block)  # a last part of a block is not shown
        grid_y, grid_x = pm.map_pixels(*np.indices(pm.shape))
        blocks.append(
            FigureBlock(
                "sky_map",
                functools.partial(
                    plots_sky.plot_sky_map, rgb, sky.wcs, covered, _marks(survey, sky.sky_to_pixel),
                    contours=(grid_x, grid_y, pm.score),
                ),
                f"False-colour image of the map with {len(survey.detections)} candidates marked.",
                f"The map in false colour ({_colours(sky.bands)}), with contours of the score at 0.5 and 0.9. "
                "Numbers are those of the candidates below. Look at what the false ones sit on.",
                layout="full",
                photographic=True,
            )
        )  # fmt: skip

    return [*blocks, _score_map_block(survey)]


def _score_map_block(survey: Survey) -> FigureBlock:
    pm = survey.probability_map

    def to_grid(ra_deg, dec_deg):
        return tuple(np.asarray(axis) for axis in reversed(pm.wcs.all_world2pix(ra_deg, dec_deg, 0)))

    return FigureBlock(
        "score_map",
        functools.partial(plots_sky.plot_score_map, pm.score, pm.wcs, _marks(survey, to_grid)),
        "Map of the network's score from 0 to 1.",
        f"The score of every {pm.window_pixels}-pixel window, one each {pm.stride_pixels} pixels: white is 0, dark "
        "blue is 1, grey was not scored. A cluster is a dark disc as wide as the offsets that training allowed.",
        layout="full",
    )


def score_map_png(survey: Survey) -> bytes:
    """The picture of the score map with its candidates, as in the report."""
    return to_png(_score_map_block(survey).draw(LIGHT))


def _colours(bands) -> str:
    if len(bands) == 1:
        return f"{bands[0]} in grey"
    if len(bands) == 2:
        return f"redder where {bands[1]} leads, bluer where {bands[0]} does"
    return f"{bands[-1]} red, {bands[len(bands) // 2]} green, {bands[0]} blue"


def _mass_blocks(survey: Survey) -> list:
    table = survey.completeness_by_mass
    if table is None or not len(table) or not np.sum(table["num_sources"]):
        return []
    names = {"num_sources": "num", "num_found": "num_recovered", "completeness": "recall"}
    names |= {"completeness_low": "recall_low", "completeness_high": "recall_high"}
    bins = Table(table, copy=True)
    bins.rename_columns(list(names), list(names.values()))
    bins["median"] = np.sqrt(np.asarray(bins["low"], float) * np.asarray(bins["high"], float))
    bins = Table({name: np.asarray(bins[name]) for name in bins.colnames})
    return [
        FigureBlock(
            "completeness_mass",
            functools.partial(
                plots_scores.plot_recall,
                {"completeness": bins},
                xlabel="M500c / 10¹⁴ M☉",
                ylabel="completeness",
                scale=1e14,
                log=True,
            ),
            "Completeness of the map's clusters in bins of mass.",
            "The found fraction of the map's clusters in bins of mass, with 1σ binomial intervals: what the catalogue "
            "can be trusted to hold.",
        ),
        TableBlock("completeness_by_mass", table, "Completeness in bins of mass.", folded=True),
    ]


def _candidates_block(survey: Survey) -> CandidatesBlock:
    shown = survey.detections[:MAX_CANDIDATES]
    pictures: list = [None] * len(shown)
    if survey.sky_map is not None and len(shown):
        pictures = [image_png(picture) for picture in candidate_pictures(survey, shown)]
    true = is_true(survey)
    candidates = []
    for i, row in enumerate(shown):
        ra_deg, dec_deg = float(row["ra_deg"]), float(row["dec_deg"])
        candidates.append(
            Candidate(
                number=int(row["detection_id"]),
                png=pictures[i],
                position=sexagesimal(ra_deg, dec_deg),
                degrees=f"{format_value(ra_deg, 'ra_deg')} {format_value(dec_deg, 'dec_deg')}",
                score=format_value(row["score"], "score"),
                verdict="" if true is None else survey.verdicts[0 if true[i] else 1],
                good=true is not None and bool(true[i]),
                facts=_facts(survey, row),
            )
        )
    left = len(survey.detections) - len(shown)
    caption = "By descending score."
    if survey.sky_map is not None:
        side = survey.cutout_pixels * survey.sky_map.pixel_scale_arcsec / 60
        caption += f" Thumbnails are {side:.1f}′ a side, turned as the map is, all under one stretch."
    if left:
        caption += f" {left:,} more are in tables/candidates.ecsv."
    return CandidatesBlock(candidates, caption)


def _facts(survey: Survey, row) -> list[tuple[str, str]]:
    """What it is called and known as, and how likely it is; what the matched source is, and how far."""
    facts = [(column_name(name), str(row[name])) for name in ("name", "known_as") if name in row.colnames and row[name]]
    facts += [(name, format_value(row[name], name)) for name in ("significance", "probability") if name in row.colnames]
    if survey.sources is None or "source_index" not in row.colnames or row["source_index"] < 0:
        return facts
    source = survey.sources[int(row["source_index"])]
    facts += [
        (column_name(name), format_value(source[name], name)) for name in _FACTS if name in survey.sources.colnames
    ]
    if "separation_arcmin" in row.colnames:
        facts.append(("separation / arcmin", format_value(row["separation_arcmin"], "separation_arcmin")))
    return facts
