"""VizieR over plain HTTP: the request for a whole table, and the VOTable that answers it."""

import pathlib
import urllib.parse
from collections.abc import Mapping, Sequence

from clusterjax.errors import InputError
from clusterjax.sky.votable import read_votable

_ERROR_BYTES = 100_000  # more is a table
VIZIER = "https://vizier.cds.unistra.fr/viz-bin/votable"


def vizier_url(
    table: str, *, columns: Sequence[str] = (), constraints: Mapping[str, str] | None = None, base: str = VIZIER
) -> str:
    """The request for all rows of ``table`` that meet ``constraints`` (column -> VizieR's expression, such as '<8').

    Without ``columns`` all come. Positions in decimal degrees come first: tables also have them in sexagesimal text.
    VizieR stops at 50 rows unless told otherwise.
    """
    query = [("-source", table), ("-out.max", "unlimited"), ("-oc.form", "dec")]
    query += [("-out.add", name) for name in ("_RAJ2000", "_DEJ2000")]
    query += [("-out", name) for name in columns] or [("-out.all", "1")]
    query += list((constraints or {}).items())
    return f"{base}?{urllib.parse.urlencode(query, safe='/')}"


def refusal(path: pathlib.Path) -> str | None:
    """What is wrong with VizieR's answer; None if it is a table. It sends its errors with status 200, as VOTables."""
    if path.stat().st_size < _ERROR_BYTES:
        try:
            read_votable(path)
        except InputError as error:
            return f"a VOTable that {str(error).removeprefix(f'{path} ')}"
    return None
