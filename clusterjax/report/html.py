"""Writes the report of a run: one self-contained page, every figure as PNG and PDF, all numbers as ECSV and CSV."""

import base64
import datetime
import importlib.metadata
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from clusterjax.errors import InputError
from clusterjax.report import plots_sky
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.calibration import calibration_section
from clusterjax.report.cells import format_value, headline_cells, headline_notes
from clusterjax.report.comparison import comparison_section
from clusterjax.report.contents import Gallery, Report, Survey
from clusterjax.report.dataset import dataset_section
from clusterjax.report.explanations import explanations_section
from clusterjax.report.figure_numbers import figure_numbers
from clusterjax.report.galleries import gallery_blocks, gallery_panels
from clusterjax.report.images import false_colour, fit_stretch, png_to_jpeg
from clusterjax.report.learning import learning_section
from clusterjax.report.map_pictures import candidate_pictures
from clusterjax.report.members import cross_validation_section, members_section
from clusterjax.report.multiclass import multiclass_section
from clusterjax.report.pages import make_environment
from clusterjax.report.scores import binary_section
from clusterjax.report.survey import survey_section
from clusterjax.report.table_files import write_table_files
from clusterjax.report.theme import DARK, LIGHT, to_pdf, to_png
from clusterjax.writing import write_bytes, write_text

_SHEET = 48  # pictures on a sheet of thumbnails


def write_report(output_dir: str | pathlib.Path, report: Report) -> pathlib.Path:
    """Write ``output_dir``/index.html with figures/ and tables/ beside it; return the path of index.html.

    The page needs nothing beside it: figures, in a light and a dark version, are within. Parts of ``report`` that are
    missing are left out. Raises :class:`InputError` where the folder cannot be written.
    """
    output_dir = pathlib.Path(output_dir)
    figures, tables = output_dir / "figures", output_dir / "tables"
    try:
        figures.mkdir(parents=True, exist_ok=True)
        tables.mkdir(exist_ok=True)
        sections = _sections(report)
        written: list[str] = []
        pictures = {
            block.name: _write_figure(figures, block, tables, written)
            for section in sections
            for block in section.blocks
            if isinstance(block, FigureBlock)
        }
        _write_sheets(figures, report)
        written += _write_tables(tables, report, sections)
        index = output_dir / "index.html"
        write_text(index, _page(report, sections, pictures, sorted(figures.glob("*.p[nd][gf]")), written))
    except OSError as error:
        raise InputError(f"the report cannot be written to {output_dir}: {error.strerror or error}") from error
    return index


def _sections(report: Report) -> list[Section]:
    """In the order of what a reader asks: how good, where it fails, what it found, how it came about."""
    sections = []
    if report.dataset is not None:
        sections.append(dataset_section(report.dataset))
    if report.comparison is not None:
        sections.append(comparison_section(report.comparison))
    if report.predictions is not None and len(report.predictions.table):
        build = binary_section if report.predictions.is_binary else multiclass_section
        sections += [build(report.predictions), calibration_section(report.predictions)]
        if report.members is not None:
            sections.append(members_section(report.predictions, report.members))
    if report.cross_validation is not None:
        sections.append(cross_validation_section(report.cross_validation))
    galleries = gallery_blocks(report.galleries, natural=report.natural_colour)
    if galleries:
        lead = "All under one stretch, so that they can be compared; the number is the network's score."
        if report.explanations is not None:
            lead += f" {report.explanations.description}"
        sections.append(Section("examples", "Right, wrong and uncertain", lead, galleries))
    if report.explanations is not None:
        sections.append(explanations_section(report.explanations, natural=report.natural_colour))
    if report.survey is not None:
        sections.append(survey_section(report.survey))
    sections.append(learning_section(report))
    sections += report.sections
    return [section for section in sections if section.blocks]


def _write_figure(folder: pathlib.Path, block: FigureBlock, tables: pathlib.Path, written: list[str]) -> dict[str, str]:
    """The figure as light PNG and PDF files, and its numbers in ``tables``, whose names ``written`` gets; both themes
    as the address of an image that the page holds itself."""
    light = block.draw(LIGHT)
    if not block.photographic and len(numbers := figure_numbers(light)):
        written += write_table_files(tables / f"figure_{block.name}", numbers)
    images = {LIGHT.name: _save(folder, block.name, light), DARK.name: to_png(block.draw(DARK))}
    if not block.photographic:
        return {name: f"data:image/png;base64,{_base64(image)}" for name, image in images.items()}
    return {name: f"data:image/jpeg;base64,{_base64(png_to_jpeg(image))}" for name, image in images.items()}


def _save(folder: pathlib.Path, name: str, figure: Figure) -> bytes:
    """As PNG and as PDF; the PNG's bytes."""
    png = to_png(figure)
    write_bytes(folder / f"{name}.png", png)
    figure.set_layout_engine("none")  # it has its layout, which takes as long as the drawing
    write_bytes(folder / f"{name}.pdf", to_pdf(figure))
    return png


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _write_sheets(folder: pathlib.Path, report: Report) -> None:
    """Galleries and candidates, which the page shows one by one, as one figure each."""
    card = report.dataset
    galleries = [*report.galleries, *((*card.examples, *card.augmented) if card is not None else ())]
    natural = report.natural_colour or (card is not None and card.natural_colour)
    for gallery in galleries:
        if len(gallery.images):
            name = "".join(c if c.isalnum() else "_" for c in gallery.title.lower())
            _save(folder, f"examples_{name}", _sheet(gallery, natural))
    survey: Survey | None = report.survey
    if survey is not None and survey.sky_map is not None and len(survey.detections):
        shown = survey.detections[:_SHEET]
        titles = [f"{row['detection_id']}: {format_value(row['score'], 'score')}" for row in shown]
        figure = plots_sky.plot_thumbnails(candidate_pictures(survey, shown), titles, num_columns=8)
        _save(folder, "candidates", figure)


def _sheet(gallery: Gallery, natural: bool) -> Figure:
    stretch = fit_stretch(gallery.images)
    if gallery.band_names:
        panels = gallery_panels(gallery, stretch, natural=natural)
        pictures = np.stack(list(panels.values()), axis=1)  # (cutout, panel, y, x, 3)
        titles = [title for text in gallery.captions for title in (text, *list(panels)[1:])]
        return plots_sky.plot_thumbnails(
            pictures.reshape(-1, *pictures.shape[2:]), titles, num_columns=len(panels), heading=gallery.title
        )
    pictures = false_colour(gallery.images[:_SHEET], stretch, natural=natural)
    return plots_sky.plot_thumbnails(pictures, gallery.captions[:_SHEET], heading=gallery.title)


def _write_tables(folder: pathlib.Path, report: Report, sections: Sequence[Section]) -> list[str]:
    """Each table as ECSV and CSV; the names of the files."""
    tables = {
        block.name: block.table for section in sections for block in section.blocks if isinstance(block, TableBlock)
    }
    if report.headline is not None:
        tables = {"headline": report.headline, **tables}
    if report.predictions is not None:
        tables["predictions"] = report.predictions.table
    return [file for name, table in tables.items() for file in write_table_files(folder / name, table)]


def _cards(report: Report) -> list[dict[str, str]]:
    """The few figures to take home, for the top of the page."""
    cards = []
    if report.headline is not None and len(report.headline):
        names, rows = headline_cells(report.headline)
        network = rows[0]
        distance = next((row for row in rows if row.kind == "distance" and row.draws == "these"), None)
        wanted = ("Accuracy", "AUC", "Mean AUC", "Recall z>1.1", "Balanced acc.")
        for i, name in enumerate(names):
            if name in wanted and network.cells[i][0] != "–":
                note = ""
                if distance is not None and distance.cells[i][0] != "–":
                    other = distance.observer.split(" − ")[-1]
                    note = f"{distance.cells[i][0]} vs {other}"
                cards.append({"name": name, "value": network.cells[i][0], "error": network.cells[i][1], "note": note})
    summary = dict(report.survey.summary or {}) if report.survey is not None else {}
    # Of the massive sources where they are told apart: of all of them it is mostly a statement about the faint ones.
    massive = isinstance(summary.get("completeness_massive"), float)
    if massive or isinstance(summary.get("completeness"), float):
        false = format_value(summary.get("false_per_deg2"))
        cards.append(
            {
                "name": "Completeness on the map",
                "value": format_value(summary["completeness_massive" if massive else "completeness"]),
                "error": "",
                "note": f"{report.survey.complete_for if massive else 'all sources'}; {false} false per deg²",
            }
        )
    return cards[:5]


def flatten(values: Mapping, prefix: str = "") -> list[tuple[str, str]]:
    """Nested dicts as (dotted name, text) pairs, in order."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", format_value(value) if isinstance(value, float) else str(value)))
    return pairs


def _provenance(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (name, text): what is not nested first, then one group for each nested dict."""
    plain = {name: value for name, value in report.provenance.items() if not isinstance(value, Mapping)}
    plain.setdefault("report written", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"))
    plain.setdefault("clusterjax", _version())
    groups = [("This run", flatten(plain))]
    groups += [(name, flatten(value)) for name, value in report.provenance.items() if isinstance(value, Mapping)]
    if report.metrics:
        groups.append(("All figures of the test split", flatten(report.metrics)))
    return groups


def _version() -> str:
    try:
        return importlib.metadata.version("clusterjax")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _page(report: Report, sections, pictures, figure_files, table_files) -> str:
    environment = make_environment()
    environment.filters["base64"] = _base64
    headline = None
    if report.headline is not None and len(report.headline):
        names, rows = headline_cells(report.headline)
        headline = {"names": names, "rows": rows, "notes": headline_notes(rows)}
    return environment.get_template("page.html").render(
        report=report,
        headline=headline,
        cards=_cards(report),
        sections=sections,
        pictures=pictures,
        provenance=_provenance(report),
        figure_files=[path.name for path in figure_files],
        table_files=table_files,
    )
