"""Tables as files: ECSV (types, units) and CSV (everything reads it), a million rows in seconds."""

import csv
import io
import pathlib

import numpy as np
from astropy.table import Column, Table

from clusterjax.writing import replacing, write_text

_PLAIN = "biufU"  # kinds of columns that are written here; others go through astropy


def write_table_files(stem: pathlib.Path, table: Table) -> list[str]:
    """``stem``.ecsv and ``stem``.csv; their names. What is missing is empty, and an empty text is
    missing when read, as with astropy's.

    The rows are written once for both, by the csv module: astropy formats each cell in Python.
    """
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("ecsv", "csv")]
    if any(column.dtype.kind not in _PLAIN or column.ndim != 1 for column in table.itercols()):
        for path, kind in zip(paths, ("ascii.ecsv", "ascii.csv"), strict=True):
            with replacing(path) as partial:
                table.write(partial, format=kind, overwrite=True)
        return [path.name for path in paths]
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows(zip(*map(_cells, table.itercols()), strict=True))
    names = io.StringIO()
    csv.writer(names, lineterminator="\n").writerow(table.colnames)
    header = io.StringIO()
    table[:0].write(header, format="ascii.ecsv", delimiter=",")
    for path, head in zip(paths, (header, names), strict=True):
        write_text(path, head.getvalue() + rows.getvalue())
    return [path.name for path in paths]


def _cells(column: Column) -> list:
    """As Python objects whose text is as short as tells the value; floats of 32 bits are texts already."""
    values = np.asarray(column)
    cells = (values.astype(str) if values.dtype.kind == "f" and values.itemsize < 8 else values).tolist()
    mask = getattr(column, "mask", None)
    if mask is not None and np.any(mask):
        cells = ["" if missing else cell for cell, missing in zip(cells, mask, strict=True)]
    return cells
