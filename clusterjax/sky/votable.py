"""VOTables in and out (IVOA VOTable 1.4)."""

import io
import os
import pathlib
import re
import warnings
from collections.abc import Mapping

from astropy.io import votable
from astropy.io.votable.tree import Info, VOTableFile
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from clusterjax.errors import InputError
from clusterjax.limits import read_unpacked
from clusterjax.writing import replacing

# Entities, which may stand for gigabytes or for files of this machine; numbers elsewhere, which astropy would fetch;
# and packed ones. In UTF-16 they would be missed, and so that is refused too.
_FOREIGN = re.compile(
    rb"<!ENTITY|<(\w+:)?STREAM[^>]*\s(href|encoding\s*=\s*.gzip)|\A(\xff\xfe|\xfe\xff|.?\x00)", re.IGNORECASE
)


def read_votable(path: str | os.PathLike) -> Table:
    """The largest table of a VOTable, with the columns' own names.

    Raises :class:`InputError` where it cannot be read, holds none (VizieR then says why), or says that it is not whole.
    """
    path = pathlib.Path(path)
    with warnings.catch_warnings():
        # Of units and types that break the standard but can be read.
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            content = read_unpacked(path, "table_bytes")
            if found := _FOREIGN.search(content):
                raise InputError(f"{path} has {found[0][:40]!r}, which this reader does not follow")
            document = votable.parse(io.BytesIO(content), verify="ignore")
            tables = [one.to_table(use_names_over_ids=True) for one in document.iter_tables() if len(one.fields)]
        except InputError:
            raise
        except Exception as error:  # expat's, astropy's and NumPy's errors each mean that it is no VOTable
            raise InputError(f"{path} cannot be read as a VOTable: {' '.join(str(error).split())[:200]}") from error
    notes = [info for part in (document, *document.resources) for info in part.infos]
    if any(info.name == "QUERY_STATUS" and str(info.value).upper() == "OVERFLOW" for info in notes):
        raise InputError(f"{path} is not the whole table: the server stopped at a limit of rows")
    if not tables:
        said = [f"{info.value} {info.content or ''}".strip() for info in notes if "rror" in f"{info.name}{info.ID}"]
        raise InputError(f"{path} holds no table{': ' if said else ''}{'; '.join(said)}")
    return max(tables, key=len)


def write_votable(
    path: str | os.PathLike, table: Table, *, description: str = "", provenance: Mapping | None = None
) -> None:
    """Write ``table`` with units and descriptions, UCDs of its columns' ``meta["ucd"]``, positions in ICRS.

    ``provenance`` becomes INFO elements. Raises :class:`InputError` when it cannot be written.
    """
    plain = table.copy()
    plain.meta = {}
    document = VOTableFile.from_table(plain)
    document.description = description or None
    resource = document.resources[0]
    for name, value in (provenance or {}).items():
        resource.infos.append(Info(name=name, value=str(value)))
    resource.coordinate_systems.append(votable.tree.CooSys(ID="ICRS", system="ICRS"))
    for field in resource.tables[0].fields:
        if field.name in ("ra_deg", "dec_deg"):
            field.ref = "ICRS"
    with replacing(path) as partial:
        document.to_xml(str(partial))
