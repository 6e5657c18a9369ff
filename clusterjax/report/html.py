"""Writes the report of a run: one self-contained page, every figure as PNG, every table as ECSV and CSV."""

import base64
import datetime
import importlib.metadata
import pathlib
from collections.abc import Mapping, Sequence

import jinja2
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.report import plots_sky
from clusterjax.report.blocks import FigureBlock, Section, TableBlock
from clusterjax.report.calibration import calibration_section
from clusterjax.report.cells import column_name, format_value, headline_cells
from clusterjax.report.comparison import comparison_section
from clusterjax.report.contents import Gallery, Report, Survey
from clusterjax.report.dataset import dataset_section
from clusterjax.report.galleries import gallery_blocks
from clusterjax.report.images import false_colour, fit_stretch, png_to_jpeg
from clusterjax.report.learning import learning_section
from clusterjax.report.map_pictures import candidate_pictures
from clusterjax.report.multiclass import multiclass_section
from clusterjax.report.scores import binary_section
from clusterjax.report.survey import survey_section
from clusterjax.report.theme import LIGHT, THEMES, to_png

_SHEET = 48  # pictures on a sheet of thumbnails
_MAX_ROWS = 200  # of a folded table on the page; its file holds all


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
        pictures = {
            block.name: _write_figure(figures, block)
            for section in sections
            for block in section.blocks
            if isinstance(block, FigureBlock)
        }
        _write_sheets(figures, report)
        written = _write_tables(tables, report, sections)
        index = output_dir / "index.html"
        index.write_text(_page(report, sections, pictures, sorted(figures.glob("*.png")), written), "utf-8")
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
    galleries = gallery_blocks(report.galleries, natural=report.natural_colour)
    if galleries:
        lead = "All under one stretch, so that they can be compared; the number is the network's score."
        sections.append(Section("examples", "Right and wrong", lead, galleries))
    if report.survey is not None:
        sections.append(survey_section(report.survey))
    sections.append(learning_section(report))
    sections += report.sections
    return [section for section in sections if section.blocks]


def _write_figure(folder: pathlib.Path, block: FigureBlock) -> dict[str, str]:
    """The figure as a light PNG file; both themes as the address of an image that the page holds itself."""
    images = {theme.name: to_png(block.draw(theme)) for theme in THEMES}
    (folder / f"{block.name}.png").write_bytes(images[LIGHT.name])
    if not block.photographic:
        return {name: f"data:image/png;base64,{_base64(image)}" for name, image in images.items()}
    return {name: f"data:image/jpeg;base64,{_base64(png_to_jpeg(image))}" for name, image in images.items()}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _write_sheets(folder: pathlib.Path, report: Report) -> None:
    """Galleries and candidates, which the page shows one by one, as one PNG each."""
    card = report.dataset
    galleries = [*report.galleries, *((*card.examples, *card.augmented) if card is not None else ())]
    natural = report.natural_colour or (card is not None and card.natural_colour)
    for gallery in galleries:
        if len(gallery.images):
            name = "".join(c if c.isalnum() else "_" for c in gallery.title.lower())
            (folder / f"examples_{name}.png").write_bytes(to_png(_sheet(gallery, natural)))
    survey: Survey | None = report.survey
    if survey is not None and survey.sky_map is not None and len(survey.detections):
        shown = survey.detections[:_SHEET]
        titles = [f"{row['detection_id']}: {format_value(row['score'], 'score')}" for row in shown]
        figure = plots_sky.plot_thumbnails(candidate_pictures(survey, shown), titles, num_columns=8)
        (folder / "candidates.png").write_bytes(to_png(figure))


def _sheet(gallery: Gallery, natural: bool):
    pictures = false_colour(gallery.images[:_SHEET], fit_stretch(gallery.images), natural=natural)
    return plots_sky.plot_thumbnails(pictures, gallery.captions[:_SHEET], heading=gallery.title)


def _write_tables(folder: pathlib.Path, report: Report, sections: Sequence[Section]) -> list[str]:
    """Each table as ECSV (types, units) and CSV (everything reads it); the names of the files."""
    tables = {
        block.name: block.table for section in sections for block in section.blocks if isinstance(block, TableBlock)
    }
    if report.headline is not None:
        tables = {"headline": report.headline, **tables}
    if report.predictions is not None:
        tables["predictions"] = report.predictions.table
    for name, table in tables.items():
        table.write(folder / f"{name}.ecsv", format="ascii.ecsv", overwrite=True)
        table.write(folder / f"{name}.csv", format="ascii.csv", overwrite=True)
    return [f"{name}.{kind}" for name in tables for kind in ("ecsv", "csv")]


def _table_text(table: Table, columns: Sequence[str] | None) -> dict:
    """Headings, whether each column is of numbers, and rows of text."""
    names = list(table.colnames if columns is None else columns)
    rows = [[format_value(row[name], name) for name in names] for row in table[:_MAX_ROWS]]
    return {
        "headings": [column_name(name) for name in names],
        "numeric": [table[name].dtype.kind in "iuf" for name in names],
        "rows": rows,
        "left": max(len(table) - _MAX_ROWS, 0),
    }


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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["base64"] = _base64
    environment.globals["table_text"] = _table_text
    headline = None
    if report.headline is not None and len(report.headline):
        names, rows = headline_cells(report.headline)
        headline = {"names": names, "rows": rows, "has_other": any(row.draws == "other" for row in rows)}
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
