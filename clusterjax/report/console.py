"""The end of a run on the console: the headline table in aligned columns, and where everything lies."""

from collections.abc import Mapping

from astropy.table import Table

from clusterjax.report.cells import headline_cells, headline_notes


def headline_text(headline: Table) -> str:
    """The headline table (of ``binary_headline`` or ``multiclass_headline``) as aligned lines of text.

    Columns that only cost width on a console (errors of minor figures, F1) stay; rows of other draws are marked.
    """
    names, rows = headline_cells(headline)
    labels = [row.name for row in rows]
    first = max(len(label) for label in ["", *labels])
    value_widths = [max(len(row.cells[i][0]) for row in rows) for i in range(len(names))]
    error_widths = [max(len(row.cells[i][1]) for row in rows) for i in range(len(names))]
    widths = [
        max(len(name), value + (error and error + 1))
        for name, value, error in zip(names, value_widths, error_widths, strict=True)
    ]
    lines = [" " * first + "".join(f"  {name:>{width}}" for name, width in zip(names, widths, strict=True))]
    lines.append("-" * len(lines[0]))
    for label, row in zip(labels, rows, strict=True):
        line = f"{label:<{first}}"
        for (value, error), width, error_width in zip(row.cells, widths, error_widths, strict=True):
            cell = f"{value} {error:<{error_width}}" if error_width else value
            line += f"  {cell:>{width}}"
        lines.append(line.rstrip())
    return "\n".join([*lines, *headline_notes(rows)])


def paths_text(paths: Mapping[str, object]) -> str:
    """One aligned line a path: what it is, where it is."""
    width = max((len(name) for name in paths), default=0)
    return "\n".join(f"{name:<{width}}  {path}" for name, path in paths.items())
