"""The page on which people judge candidates: one file, no server; verdicts stay in the browser and leave it as CSV.

The program is in ``vetting_verdicts.js``, ``vetting_list.js`` and ``vetting_page.js`` beside this file. Texts reach the
page as JSON and become text nodes, so that no name can become a program; the page's own policy forbids any other.
"""

import base64
import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from astropy.table import Column, Table
from jaxtyping import UInt8
from PIL import Image

from clusterjax.data.votes.verdicts import VERDICTS, table_hash
from clusterjax.errors import InputError
from clusterjax.report.cells import sexagesimal
from clusterjax.report.pages import make_environment
from clusterjax.search.flags import Flag

_FOLDER = pathlib.Path(__file__).parent
_SCRIPTS = ("vetting_verdicts.js", "vetting_list.js", "vetting_page.js")
_QUALITY = 80  # of WebP: noise remains noise


@dataclasses.dataclass(frozen=True)
class Pictures:
    """One picture of each of the first candidates, (n, y, x, 3); ``note`` says what it shows. ``exact`` ones, of few
    colours, are kept pixel by pixel."""

    name: str
    images: UInt8[np.ndarray, "n y x 3"]
    note: str = ""
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class VettingPage:
    """``candidates`` is the whole table, by descending score; the first ``num_shown`` are on the page.

    ``flags`` are the bits of its column flags, ``statuses`` a word for each candidate (known, new), or none. Links
    search within ``radius_arcmin`` and show ``field_deg``. ``caption`` says what all pictures have in common.
    """

    title: str
    subtitle: str
    candidates: Table
    num_shown: int
    pictures: Sequence[Pictures] = ()
    flags: Mapping[str, Flag] = dataclasses.field(default_factory=dict)
    statuses: Sequence[str] = ()
    radius_arcmin: float = 2.0
    field_deg: float = 0.2
    caption: str = ""

    @property
    def num_left(self) -> int:
        return len(self.candidates) - self.num_shown

    @property
    def catalogues(self) -> list[str]:
        names = self.candidates.colnames
        labels = [name.removesuffix("_separation_arcmin") for name in names if name.endswith("_separation_arcmin")]
        return [label for label in labels if f"{label}_chance" in names]


def write_vetting_page(path: pathlib.Path, page: VettingPage) -> None:
    """Write the page, whole or not at all. Raises :class:`InputError` where it cannot be written."""
    script = "\n".join((_FOLDER / name).read_text("utf-8") for name in _SCRIPTS)
    text = (
        make_environment()
        .get_template("vetting.html")
        .render(
            page=page,
            words=VERDICTS,
            data=_as_script_data(_data(page)),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=(_FOLDER / "vetting.css").read_text("utf-8"),
        )
    )
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"the vetting page cannot be written to {path}: {error.strerror or error}") from error


def _as_script_data(values) -> str:
    """JSON within which no element can end or begin."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _data(page: VettingPage) -> dict:
    shown = page.candidates[: page.num_shown]
    columns = {name: _cells(shown[name]) for name in shown.colnames}
    names = columns.get("name", [f"candidate {number}" for number in columns["detection_id"]])
    return {
        "table": table_hash(*(page.candidates[name] for name in ("detection_id", "ra_deg", "dec_deg"))),
        "ids": columns["detection_id"],
        "names": [name or f"candidate {number}" for name, number in zip(names, columns["detection_id"], strict=True)],
        "positions": [sexagesimal(row["ra_deg"], row["dec_deg"]) for row in shown],
        "statuses": [str(word) for word in page.statuses[: page.num_shown]],
        "columns": [
            {
                "name": name,
                "unit": str(shown[name].unit or ""),
                "text": shown[name].description or "",
                "numeric": shown[name].dtype.kind in "iuf",
            }
            for name in shown.colnames
        ],
        "rows": list(map(list, zip(*columns.values(), strict=True))),
        "flags": [{"name": name, "bit": flag.bit, "meaning": flag.meaning} for name, flag in page.flags.items()],
        "catalogues": page.catalogues,
        "pictures": [{"name": pictures.name, "note": pictures.note} for pictures in page.pictures],
        "images": [
            [_address(pictures, row) if row < len(pictures.images) else None for pictures in page.pictures]
            for row in range(page.num_shown)
        ],
        "radius_arcmin": page.radius_arcmin,
        "field_deg": page.field_deg,
    }


def _cells(column: Column) -> list:
    """Numbers with the digits that mean something, texts, and None for what is not there."""
    kind = column.dtype.kind
    if kind == "f" and column.ndim == 1:
        format_of = ".7f" if column.name in ("ra_deg", "dec_deg") else ".5g"
        values = np.ma.filled(np.ma.asarray(column, dtype=float), np.nan).tolist()
        return [float(format(value, format_of)) if np.isfinite(value) else None for value in values]
    values = [None if np.ma.is_masked(value) else value for value in column]
    if kind in "iu" and column.ndim == 1:
        return [None if value is None else int(value) for value in values]
    return ["" if value is None else value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _address(pictures: Pictures, row: int) -> str:
    """Row 0 of a picture is at the bottom, as in FITS."""
    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pictures.images[row, ::-1]))
    picture.save(buffer, "WEBP", lossless=pictures.exact, quality=_QUALITY, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
