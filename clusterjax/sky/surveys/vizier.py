"""VizieR over plain HTTP: the request for a whole table, and the VOTable that answers it."""

import os
import pathlib
import urllib.parse
import warnings
from collections.abc import Mapping, Sequence

from astropy.io import votable
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from clusterjax.errors import InputError

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


def read_votable(path: str | os.PathLike) -> Table:
    """The largest table of a VOTable, with the columns' own names.

    Raises :class:`InputError` where it cannot be read, holds none (VizieR then says why), or says that it is not whole.
    """
    path = pathlib.Path(path)
    with warnings.catch_warnings():
        # Of units and types that break the standard but can be read.
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            document = votable.parse(str(path), verify="ignore")
            tables = [one.to_table(use_names_over_ids=True) for one in document.iter_tables() if len(one.fields)]
        except Exception as error:  # expat's, astropy's and NumPy's errors each mean that it is no VOTable
            raise InputError(f"{path} cannot be read as a VOTable: {' '.join(str(error).split())[:200]}") from error
    notes = [info for part in (document, *document.resources) for info in part.infos]
    if any(info.name == "QUERY_STATUS" and str(info.value).upper() == "OVERFLOW" for info in notes):
        raise InputError(f"{path} is not the whole table: the server stopped at a limit of rows")
    if not tables:
        said = [f"{info.value} {info.content or ''}".strip() for info in notes if "rror" in f"{info.name}{info.ID}"]
        raise InputError(f"{path} holds no table{': ' if said else ''}{'; '.join(said)}")
    return max(tables, key=len)


def refusal(path: pathlib.Path) -> str | None:
    """What is wrong with VizieR's answer; None if it is a table. It sends its errors with status 200, as VOTables."""
    if path.stat().st_size < _ERROR_BYTES:
        try:
            read_votable(path)
        except InputError as error:
            return f"a VOTable that {str(error).removeprefix(f'{path} ')}"
    return None
