"""FITS in and out: this package is the one border to astropy.io.fits.

Inside, everything is native float32 in (y, x, band) order.
"""

import json
import math
import os
import pathlib
import warnings
from collections.abc import Sequence

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, Wcsprm
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.limits import check_limit
from clusterjax.sky.bands import ImageReader, Planes, join_images
from clusterjax.sky.fits.files import PathLike, open_fits, split_extension
from clusterjax.sky.fits.pixels import stored_pixels
from clusterjax.sky.fits.provenance import add_provenance
from clusterjax.sky.geometry import pixel_to_sky, sky_to_pixel
from clusterjax.sky.header import band_names, celestial_header, image_units
from clusterjax.sky.skymap import ProbabilityMap, SkyMap
from clusterjax.writing import replacing


def _choose_images(hdus: fits.HDUList, path: pathlib.Path, extension: str | None, bands) -> list:
    """The image HDUs to read: the named one; else those named as the bands; else the first."""
    images = [hdu for hdu in hdus if hdu.is_image and len(hdu.shape) >= 2 and 0 not in hdu.shape]
    if extension is not None:
        by_name = {hdu.name.upper(): hdu for hdu in images if hdu.name}
        by_name.update((str(index), hdu) for index, hdu in enumerate(hdus) if hdu in images)
        if extension.upper() not in by_name:
            raise InputError(f"{path} has no image extension {extension!r}; it has {', '.join(by_name) or 'none'}")
        return [by_name[extension.upper()]]
    if not images:
        raise InputError(f"{path} holds no image; a FITS image with two or more axes is needed")
    by_name = {hdu.name.upper(): hdu for hdu in images}
    if bands and all(band.upper() in by_name for band in bands):
        return [by_name[band.upper()] for band in bands]
    return images[:1]


def _celestial_axes(header: fits.Header, num_axes: int, where: str) -> tuple[int, int]:
    """The FITS axes (from 0, in the file's order) that are longitude and latitude."""
    # The axes' types alone: distortions cannot be read before the cube's other axes are dropped.
    types = fits.Header({f"CTYPE{axis}": header.get(f"CTYPE{axis}", "") for axis in range(1, num_axes + 1)})
    axes = Wcsprm(types.tostring().encode("ascii", "replace"), relax=True)
    axes.set()
    celestial = sorted((axes.lng, axes.lat))
    if celestial[0] < 0:
        raise InputError(f"{where} has no celestial WCS; it needs CTYPE1/CTYPE2 such as RA---TAN and DEC--TAN")
    return tuple(celestial)


def _planes(hdu, hdus: fits.HDUList, path: pathlib.Path) -> Planes:
    """One image HDU with its celestial WCS, and where its pixels lie."""
    where = f"{path}[{hdu.name}]" if hdu.name and hdu.name != "PRIMARY" else str(path)
    header = celestial_header(hdu.header)
    num_axes = len(hdu.shape)
    first, second = _celestial_axes(header, num_axes, where)
    try:
        wcs = WCS(header, fobj=hdus, naxis=[first + 1, second + 1])
        wcs.wcs.set()
        # NumPy's axes run the other way.
        axes = (num_axes - 1 - second, num_axes - 1 - first)
        ny, nx = (hdu.shape[axis] for axis in axes)
        wcs.pixel_shape = (nx, ny)
        sky_to_pixel(wcs, *pixel_to_sky(wcs, (ny - 1) / 2, (nx - 1) / 2))  # there and back, to see that it works
    except Exception as error:  # wcslib has a dozen types of error; each means that the header has no usable WCS
        raise InputError(f"{where} has a WCS that cannot be used: {' '.join(str(error).split())}") from error
    names = band_names(hdu.header, int(np.prod(hdu.shape)) // (ny * nx), path)
    source, scaling = stored_pixels(hdu, hdus, path)
    name = band_names(hdu.header, 1, path)[0]
    return Planes(source, axes, wcs, names, name, image_units(hdu.header), where, scaling)


def read_planes(path: PathLike) -> Planes:
    """The first image of a file, of which only the header is read. Raises InputError."""
    path, extension = split_extension(path)
    with open_fits(path) as hdus:
        return _planes(_choose_images(hdus, path, extension, None)[0], hdus, path)


def open_images(
    paths: Sequence[PathLike], *, bands: Sequence[str] | None = None, check_signal: bool = True
) -> ImageReader:
    """A map on disk, to be read by window: one file with all bands, or one file a band on the same grid.

    Takes any FITS image with a celestial WCS (also .gz and .fz): a plane, or a cube whose other axes are the bands.
    Of a file with several images those whose EXTNAME is a band are taken, else the first; ``map.fits[W1]`` or
    ``map.fits[2]`` names one. ``bands`` are the names, in order, that the map must have; planes whose own names
    (BAND, BAND0..., FILTER) are just these in another order are put in this one. Of one file a band with three planes
    each (I, Q, U) the first is taken.

    Raises InputError for a file that is missing, truncated, or no FITS; without a celestial WCS; of another number
    of bands; on another grid; and, if ``check_signal``, for a band without any signal (all NaN or all equal).
    """
    if isinstance(paths, str | os.PathLike) or not paths:
        raise InputError(f"images={paths!r} must be a list of one FITS file, or of one file a band")
    images = []
    for given in paths:
        path, extension = split_extension(given)
        with open_fits(path) as hdus:
            images.extend(_planes(hdu, hdus, path) for hdu in _choose_images(hdus, path, extension, bands))
    return join_images(images, bands, check_signal=check_signal)


def read_sky_map(paths: Sequence[PathLike], *, bands: Sequence[str] | None = None) -> SkyMap:
    """The whole of the map that :func:`open_images` opens, in memory."""
    reader = open_images(paths, bands=bands)
    return reader.read(0, 0, *reader.shape)


def read_image(path: PathLike) -> Float[np.ndarray, "y x band"]:
    """The pixels alone of the first image of a FITS file, as native float32; it needs no WCS.

    A cube's axes beyond the first two (FITS order) become bands. Raises InputError as :func:`read_sky_map`.
    """
    path, extension = split_extension(path)
    with open_fits(path) as hdus:
        data = _whole(_choose_images(hdus, path, extension, None)[0], path)
        return np.ascontiguousarray(np.moveaxis(data.reshape(-1, *data.shape[-2:]), 0, -1))


def _whole(hdu, path: pathlib.Path) -> np.ndarray:
    check_limit("image_pixels", int(math.prod(hdu.shape)), path)
    return np.asarray(hdu.data, np.float32)


def read_tile(path: PathLike) -> tuple[Float[np.ndarray, "y x"], str]:
    """(pixels, BUNIT) of the first image of a file, whole, as native float32; it needs no WCS. Raises InputError."""
    path = pathlib.Path(path)
    with open_fits(path) as hdus:
        hdu = _choose_images(hdus, path, None, None)[0]
        return _whole(hdu, path), image_units(hdu.header)


def _wcs_hdus(wcs: WCS, data: np.ndarray) -> fits.HDUList:
    """A primary image of ``data`` with the WCS, and the extensions that a lookup-table distortion needs."""
    with warnings.catch_warnings():
        # Writing SIP coefficients is what relax asks for; astropy says so each time.
        warnings.simplefilter("ignore", AstropyWarning)
        hdus = wcs.to_fits(relax=True)
    hdus[0].data = data
    return hdus


def write_sky_map(path: PathLike, sky: SkyMap, *, provenance: dict | None = None) -> None:
    """Write (band, y, x) float32 with WCS, BUNIT and BAND0...; pixels that are not valid are written as NaN."""
    data = np.where(sky.valid[..., None], sky.data, np.float32(np.nan))
    hdus = _wcs_hdus(sky.wcs, np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    header = hdus[0].header
    if sky.units:
        header["BUNIT"] = sky.units
    for index, band in enumerate(sky.bands):
        header[f"BAND{index}"] = (band, f"band of plane {index + 1}")
    add_provenance(header, provenance or {})
    with replacing(path) as partial:
        hdus.writeto(partial, overwrite=True)


def write_probability_map(
    path: PathLike, probability_map: ProbabilityMap, *, kind: str = "score", provenance: dict | None = None
) -> None:
    """Write the score (primary image), the valid fraction (extension VALID_FRACTION) and, where there is one, the
    spread (extension SPREAD), all with the grid's WCS.

    ``kind`` is what the file calls the values: 'score', or 'probability' where they are calibrated. ``provenance``
    (what made it: model, checkpoint, software version, date ...) is added to the map's own.
    """
    hdus = _wcs_hdus(probability_map.wcs, probability_map.score)
    header, wcs_header = hdus[0].header, hdus[0].header.copy()
    header["EXTNAME"] = kind.upper()
    header["BUNIT"] = ("", f"{kind} in [0, 1]; NaN: not scored")
    header["WINDOW"] = (probability_map.window_pixels, "window side [pixels of the scanned map]")
    header["STRIDE"] = (probability_map.stride_pixels, "window step [pixels of the scanned map]")
    add_provenance(header, {**probability_map.provenance, **(provenance or {})})
    hdus.append(fits.ImageHDU(probability_map.valid_fraction, wcs_header, name="VALID_FRACTION"))
    if probability_map.spread is not None:
        hdus.append(fits.ImageHDU(probability_map.spread, wcs_header, name="SPREAD"))
    with replacing(path) as partial:
        hdus.writeto(partial, overwrite=True)


def read_probability_map(path: PathLike) -> ProbabilityMap:
    """The inverse of :func:`write_probability_map`. Raises InputError for any other FITS file."""
    path = pathlib.Path(path)
    with open_fits(path) as hdus:
        names = [hdu.name for hdu in hdus]
        header = hdus[0].header
        if "VALID_FRACTION" not in names or not {"WINDOW", "STRIDE", "PROVENAN"} <= set(header):
            raise InputError(f"{path} is not a score map; it has no WINDOW, STRIDE or extension VALID_FRACTION")
        planes = _planes(hdus[0], hdus, path)
        return ProbabilityMap(
            score=planes.read(0, slice(None), slice(None)),
            valid_fraction=np.asarray(hdus["VALID_FRACTION"].data, np.float32),
            wcs=planes.wcs,
            window_pixels=int(header["WINDOW"]),
            stride_pixels=int(header["STRIDE"]),
            provenance=json.loads(header["PROVENAN"]),
            spread=np.asarray(hdus["SPREAD"].data, np.float32) if "SPREAD" in names else None,
        )


def read_fits_table(path: PathLike) -> Table:
    """The first table of a FITS file, with the columns' comments (TCOMM) as descriptions. Raises InputError."""
    path = pathlib.Path(path)
    with open_fits(path) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            raise InputError(f"{path} holds no table")
        with warnings.catch_warnings():
            # Units that astropy does not know are kept as text; catalogues.read_table deals with them.
            warnings.simplefilter("ignore", AstropyWarning)
            table = Table.read(tables[0], character_as_bytes=False)
        for index, name in enumerate(table.colnames, start=1):
            table[name].description = tables[0].header.get(f"TCOMM{index}")
        return table


def write_fits_table(path: PathLike, table: Table) -> None:
    """Write a table with units, and with descriptions as TCOMM and ``meta["ucd"]`` of columns as TUCD, where TOPCAT and
    fv show them; ``table.meta["provenance"]`` goes into the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # metadata that is no FITS keyword stays in the ECSV file
        plain = table.copy()
        plain.meta = {}
        for name in plain.colnames:
            texts = np.ma.filled(plain[name], "") if plain[name].dtype.kind == "U" else ()
            if not all(map(str.isascii, texts)):  # FITS holds nothing else
                plain[name] = np.char.encode(texts, "ascii", "replace")
        hdu = fits.table_to_hdu(plain)
    for index, name in enumerate(table.colnames, start=1):
        if table[name].description:
            hdu.header[f"TCOMM{index}"] = table[name].description.encode("ascii", "replace").decode()
        if "ucd" in table[name].meta:
            hdu.header[f"TUCD{index}"] = table[name].meta["ucd"]
    if "provenance" in table.meta:
        add_provenance(hdu.header, table.meta["provenance"])
    with replacing(path) as partial:
        hdu.writeto(partial, overwrite=True)
