"""Which labelled images there are: a folder with a subfolder per class, or a table. Reads no pixels."""

import dataclasses
import pathlib
import re

import numpy as np
from astropy.table import Table

from clusterjax.errors import InputError
from clusterjax.sky.catalogues import positions, read_table

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "validation", "validation": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_FILE_COLUMNS = ("file", "filename", "file_name", "filepath", "path", "image")
_LABEL_COLUMNS = ("label", "class", "class_name", "target")
_SPLIT_COLUMNS = ("split", "subset")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One labelled image. ``split`` is None where nobody said; positions are NaN where unknown."""

    path: pathlib.Path
    label: str
    split: str | None = None
    ra_deg: float = np.nan
    dec_deg: float = np.nan


def list_images(images: str) -> list[Entry]:
    """All entries of ``images``, a folder or a table, in a fixed order.

    Raises :class:`InputError` for a path that is not there, a folder without class folders or images, a table without
    file or label column, and a split of unknown name.
    """
    if not images:
        raise InputError(
            "config.data.images is empty; give a folder with a subfolder per class, or a table with file and label"
        )
    path = pathlib.Path(images).expanduser()
    if not path.exists():
        raise InputError(f"config.data.images={images!r} does not exist; give a folder or a table")
    entries = _list_folder(path) if path.is_dir() else _list_table(path)
    if not entries:
        raise InputError(f"config.data.images={images!r} holds no images; they end in {', '.join(IMAGE_SUFFIXES)}")
    return entries


def class_names(entries: list[Entry]) -> tuple[str, ...]:
    """Sorted; whole numbers by value."""
    names = {entry.label for entry in entries}
    return tuple(sorted(names, key=int if all(re.fullmatch(r"-?\d+", name) for name in names) else str))


def _is_image(path: pathlib.Path) -> bool:
    return path.name.lower().endswith(IMAGE_SUFFIXES) and not path.name.startswith(".") and path.is_file()


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _list_folder(folder: pathlib.Path) -> list[Entry]:
    subfolders = _subfolders(folder)
    named = [path for path in subfolders if path.name.lower() in SPLIT_NAMES]
    if not named:
        return _list_classes(folder, None)
    if len(named) < len(subfolders):
        other = next(path.name for path in subfolders if path not in named)
        raise InputError(
            f"{folder} has the split folder {named[0].name!r} beside {other!r}; put all class folders into split "
            "folders, or none"
        )
    return [entry for path in named for entry in _list_classes(path, SPLIT_NAMES[path.name.lower()])]


def _list_classes(folder: pathlib.Path, split: str | None) -> list[Entry]:
    classes = _subfolders(folder)
    if not classes and any(map(_is_image, folder.iterdir())):
        raise InputError(
            f"{folder} holds images but no class folders; put the images of each class into its own folder"
        )
    return [Entry(path, each.name, split) for each in classes for path in sorted(each.rglob("*")) if _is_image(path)]


def _find_column(table: Table, names: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(table.colnames)}
    return next((by_lower[name] for name in names if name in by_lower), None)


def _texts(table: Table, column: str, path: pathlib.Path) -> list[str]:
    values = np.ma.asarray(table[column])
    missing = np.flatnonzero(np.ma.getmaskarray(values))
    if missing.size:
        raise InputError(f"{path}: row {missing[0] + 1} has no {column}")
    # FITS pads texts with blanks and gives bytes.
    return [(value.decode() if isinstance(value, bytes) else str(value)).strip() for value in values.tolist()]


def _list_table(path: pathlib.Path) -> list[Entry]:
    table = read_table(path)
    columns = {}
    for what, names in (("file", _FILE_COLUMNS), ("label", _LABEL_COLUMNS)):
        columns[what] = _find_column(table, names)
        if columns[what] is None:
            raise InputError(
                f"{path} has no {what} column; it has {', '.join(table.colnames) or 'no columns'}; "
                f"name one of them {' or '.join(names)}"
            )
    files, labels = (_texts(table, columns[what], path) for what in ("file", "label"))
    split_column = _find_column(table, _SPLIT_COLUMNS)
    splits: list[str | None] = [None] * len(table)
    if split_column is not None:
        names = _texts(table, split_column, path)
        for row, name in enumerate(names):
            if name.lower() not in SPLIT_NAMES:
                raise InputError(f"{path}: split={name!r} in row {row + 1} is unknown; use train, validation or test")
        splits = [SPLIT_NAMES[name.lower()] for name in names]
    ra, dec = _positions_or_nan(table)
    # Absolute files stay as they are; others lie beside the table.
    return [
        Entry(path.parent / file, label, split, float(ra_deg), float(dec_deg))
        for file, label, split, ra_deg, dec_deg in zip(files, labels, splits, ra, dec, strict=True)
    ]


def _positions_or_nan(table: Table) -> tuple[np.ndarray, np.ndarray]:
    try:
        return positions(table)
    except InputError:
        if any(name.lower().startswith(("ra", "dec")) for name in table.colnames if name.lower() != "rate"):
            raise  # there are positions, and they are wrong
        return np.full(len(table), np.nan), np.full(len(table), np.nan)
