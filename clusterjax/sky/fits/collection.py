"""Several tables and one image, with what made them, in one FITS file."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.fits.files import PathLike, open_fits, replacing
from clusterjax.sky.fits.provenance import add_provenance


@dataclasses.dataclass(frozen=True, eq=False)
class Collection:
    """``tables`` by their names, the image, and ``facts``: JSON-able figures of the header."""

    tables: Mapping[str, Table]
    image: Float[np.ndarray, "y x"]
    wcs: WCS
    facts: Mapping
    provenance: Mapping


def write_collection(path: PathLike, kind: str, image_name: str, collection: Collection) -> None:
    """Write the image with its WCS and each table as an extension; ``kind`` says in the header what the file is."""
    primary = fits.PrimaryHDU()
    primary.header["CONTENT"] = (kind, "what this file holds")
    primary.header["FACTS"] = (json.dumps(dict(collection.facts)), "JSON")
    add_provenance(primary.header, collection.provenance)
    header = collection.wcs.to_header(relax=True)
    hdus = [primary, fits.ImageHDU(np.asarray(collection.image, np.float32), header, name=image_name)]
    for name, table in collection.tables.items():
        plain = table.copy()
        plain.meta = {}
        hdu = fits.table_to_hdu(plain)
        hdu.name = name
        for index, column in enumerate(table.colnames, start=1):
            if table[column].description:
                hdu.header[f"TCOMM{index}"] = table[column].description.encode("ascii", "replace").decode()
        hdus.append(hdu)
    with replacing(path) as partial:
        fits.HDUList(hdus).writeto(partial, overwrite=True)


def read_collection(path: PathLike, kind: str, image_name: str) -> Collection:
    """The inverse of :func:`write_collection`. Raises :class:`InputError` for any other file."""
    path = pathlib.Path(path)
    with open_fits(path) as hdus:
        header = hdus[0].header
        if header.get("CONTENT") != kind or image_name not in [hdu.name for hdu in hdus]:
            raise InputError(f"{path} holds no {kind}; --job=inject writes such a file")
        image = hdus[image_name]
        wcs = WCS(image.header)
        wcs.pixel_shape = image.data.shape[::-1]
        tables = {
            hdu.name: Table.read(hdu, character_as_bytes=False) for hdu in hdus if isinstance(hdu, fits.BinTableHDU)
        }
        return Collection(
            tables, np.asarray(image.data, np.float32), wcs, json.loads(header["FACTS"]), json.loads(header["PROVENAN"])
        )
