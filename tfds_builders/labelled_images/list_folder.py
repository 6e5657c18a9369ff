"""Write the table of a folder of labelled images, to look over and complete: file, label, split, ra, dec.

python -m tfds_builders.labelled_images.list_folder FOLDER [--positions REGEX] [--output FOLDER/images.csv]
"""

import argparse
import os
import pathlib
import re
import sys

import numpy as np
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.writing import replacing
from tfds_builders.labelled_images.listing import Entry, list_images


def folder_table(folder: str, positions: str | None, beside: pathlib.Path) -> Table:
    """One row an image. ``positions`` is a regular expression with groups ``ra`` and ``dec`` (degrees), searched in
    the file name; files are relative to the folder ``beside``.

    Raises :class:`InputError` for a wrong expression and for a file whose name it does not fit.
    """
    entries = list_images(folder)
    found = [_position(entry, positions) if positions else (np.nan, np.nan) for entry in entries]
    table = Table(
        {
            "file": [os.path.relpath(entry.path, beside) for entry in entries],
            "label": [entry.label for entry in entries],
        }
    )
    if all(entry.split for entry in entries):
        table["split"] = [entry.split for entry in entries]
    table["ra"], table["dec"] = np.array(found, np.float64).T
    return table


def _position(entry: Entry, expression: str) -> tuple[float, float]:
    try:
        match = re.search(expression, entry.path.name)
        if match is None:
            raise InputError(f"--positions={expression!r} does not fit the file name {entry.path.name!r}")
        return float(match["ra"]), float(match["dec"])
    except (re.error, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"--positions={expression!r} must have groups ra and dec in degrees: {error}") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--positions", help="regular expression on the file name with groups ra and dec, in degrees")
    parser.add_argument("--output", type=pathlib.Path, help="CSV file to write; default FOLDER/images.csv")
    options = parser.parse_args(arguments)
    output = options.output or pathlib.Path(options.folder) / "images.csv"
    try:
        table = folder_table(options.folder, options.positions, output.parent)
        with replacing(output) as partial:
            table.write(partial, format="ascii.csv", overwrite=True)
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"{len(table)} images listed in {output}")


if __name__ == "__main__":
    main()
