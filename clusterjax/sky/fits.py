"""FITS in and out: the one border to astropy.io.fits. Inside, everything is native float32 in (y, x, band) order."""

import contextlib
import json
import os
import pathlib
import re
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError, VerifyWarning
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning, AstropyWarning
from astropy.wcs import WCS, FITSFixedWarning, Wcsprm
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.bands import Planes, join_images
from clusterjax.sky.header import band_names, celestial_header, image_units
from clusterjax.sky.skymap import ProbabilityMap, SkyMap

_PATH = str | os.PathLike


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[fits.HDUList]:
    """An open FITS file; whatever goes wrong while it is read is one :class:`InputError`."""
    if not path.is_file():
        raise InputError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    with warnings.catch_warnings():
        # Of headers that break the standard but can be read: nothing that a reader could do about them.
        warnings.simplefilter("ignore", VerifyWarning)
        # wcslib's own repairs of dates and units.
        warnings.simplefilter("ignore", FITSFixedWarning)
        # Astropy only warns of a file that ends too early, and reads it as if nothing were missing.
        warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
        warnings.filterwarnings("error", "Error validating header", AstropyUserWarning)
        try:
            # Opened here: astropy leaves a file open that it fails to read.
            with path.open("rb") as stream, fits.open(stream, memmap=False) as hdus:
                yield hdus
        except InputError:
            raise
        except (OSError, EOFError, ValueError, TypeError, KeyError, VerifyError, AstropyUserWarning) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{path} cannot be read as FITS: {reason}") from error


@contextlib.contextmanager
def replacing(path: _PATH) -> Iterator[pathlib.Path]:
    """A path beside ``path`` to write to, which takes its place only when all went well."""
    path = pathlib.Path(path)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _split_extension(path: _PATH) -> tuple[pathlib.Path, str | None]:
    """``map.fits[W1]`` -> (map.fits, W1), CFITSIO's way to name an extension."""
    match = re.fullmatch(r"(.+)\[([^\[\]]+)\]", os.fspath(path))
    if match and not os.path.exists(path):
        return pathlib.Path(match[1]), match[2]
    return pathlib.Path(path), None


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


def _read_planes(hdu, hdus: fits.HDUList, path: pathlib.Path) -> Planes:
    """One image HDU as native float32 with its celestial WCS."""
    where = f"{path}[{hdu.name}]" if hdu.name and hdu.name != "PRIMARY" else str(path)
    header = celestial_header(hdu.header)
    first, second = _celestial_axes(header, hdu.header["NAXIS"], where)
    data = np.asarray(hdu.data, np.float32)
    try:
        wcs = WCS(header, fobj=hdus, naxis=[first + 1, second + 1])
        wcs.wcs.set()
    except Exception as error:  # wcslib has a dozen types of error; each means that the header has no usable WCS
        raise InputError(f"{where} has a WCS that cannot be used: {' '.join(str(error).split())}") from error
    # NumPy's axes run the other way.
    data = np.moveaxis(data, (data.ndim - 1 - second, data.ndim - 1 - first), (-2, -1))
    data = np.moveaxis(data.reshape(-1, *data.shape[-2:]), 0, -1)
    data = np.where(np.isfinite(data), data, np.float32(np.nan))
    wcs.pixel_shape = (data.shape[1], data.shape[0])
    return Planes(data, wcs, band_names(hdu.header, data.shape[2], path), image_units(hdu.header), where)


def read_sky_map(paths: Sequence[_PATH], *, bands: Sequence[str] | None = None) -> SkyMap:
    """Read an image of the sky: one file with all bands, or one file a band on the same grid.

    Takes any FITS image with a celestial WCS (also .gz and .fz): a plane, or a cube whose other axes are the bands.
    Of a file with several images those whose EXTNAME is a band are taken, else the first; ``map.fits[W1]`` or
    ``map.fits[2]`` names one. ``bands`` are the names, in order, that the map must have; planes whose own names
    (BAND, BAND0..., FILTER) are just these in another order are put in this one.

    Raises InputError for a file that is missing, truncated, or no FITS; without a celestial WCS; of another number
    of bands; on another grid; and for a band without any signal (all NaN or all equal).
    """
    if isinstance(paths, str | os.PathLike) or not paths:
        raise InputError(f"images={paths!r} must be a list of one FITS file, or of one file a band")
    images = []
    for given in paths:
        path, extension = _split_extension(given)
        with _open(path) as hdus:
            images.extend(_read_planes(hdu, hdus, path) for hdu in _choose_images(hdus, path, extension, bands))
    return join_images(images, bands)


def read_image(path: _PATH) -> Float[np.ndarray, "y x band"]:
    """The pixels alone of the first image of a FITS file, as native float32; it needs no WCS.

    A cube's axes beyond the first two (FITS order) become bands. Raises InputError as :func:`read_sky_map`.
    """
    path, extension = _split_extension(path)
    with _open(path) as hdus:
        data = np.asarray(_choose_images(hdus, path, extension, None)[0].data, np.float32)
    return np.ascontiguousarray(np.moveaxis(data.reshape(-1, *data.shape[-2:]), 0, -1))


def _wcs_hdus(wcs: WCS, data: np.ndarray) -> fits.HDUList:
    """A primary image of ``data`` with the WCS, and the extensions that a lookup-table distortion needs."""
    with warnings.catch_warnings():
        # Writing SIP coefficients is what relax asks for; astropy says so each time.
        warnings.simplefilter("ignore", AstropyWarning)
        hdus = wcs.to_fits(relax=True)
    hdus[0].data = data
    return hdus


def _add_provenance(header: fits.Header, provenance: dict) -> None:
    """For people as HISTORY, for programs as one JSON text (which CONTINUE cards carry at any length)."""
    header["PROVENAN"] = (json.dumps(provenance, default=str), "JSON")
    for key, value in provenance.items():
        header.add_history(f"{key}: {value}".encode("ascii", "replace").decode())


def write_sky_map(path: _PATH, sky: SkyMap, *, provenance: dict | None = None) -> None:
    """Write (band, y, x) float32 with WCS, BUNIT and BAND0...; pixels that are not valid are written as NaN."""
    data = np.where(sky.valid[..., None], sky.data, np.float32(np.nan))
    hdus = _wcs_hdus(sky.wcs, np.ascontiguousarray(np.moveaxis(data, -1, 0)))
    header = hdus[0].header
    if sky.units:
        header["BUNIT"] = sky.units
    for index, band in enumerate(sky.bands):
        header[f"BAND{index}"] = (band, f"band of plane {index + 1}")
    _add_provenance(header, provenance or {})
    with replacing(path) as partial:
        hdus.writeto(partial, overwrite=True)


def write_probability_map(
    path: _PATH, probability_map: ProbabilityMap, *, kind: str = "score", provenance: dict | None = None
) -> None:
    """Write the score (primary image) and the valid fraction (extension VALID_FRACTION), both with the grid's WCS.

    ``kind`` is what the file calls the values: 'score', or 'probability' where they are calibrated. ``provenance``
    (what made it: model, checkpoint, software version, date ...) is added to the map's own.
    """
    hdus = _wcs_hdus(probability_map.wcs, probability_map.score)
    header, wcs_header = hdus[0].header, hdus[0].header.copy()
    header["EXTNAME"] = kind.upper()
    header["BUNIT"] = ("", f"{kind} in [0, 1]; NaN: not scored")
    header["WINDOW"] = (probability_map.window_pixels, "window side [pixels of the scanned map]")
    header["STRIDE"] = (probability_map.stride_pixels, "window step [pixels of the scanned map]")
    _add_provenance(header, {**probability_map.provenance, **(provenance or {})})
    hdus.append(fits.ImageHDU(probability_map.valid_fraction, wcs_header, name="VALID_FRACTION"))
    with replacing(path) as partial:
        hdus.writeto(partial, overwrite=True)


def read_probability_map(path: _PATH) -> ProbabilityMap:
    """The inverse of :func:`write_probability_map`. Raises InputError for any other FITS file."""
    path = pathlib.Path(path)
    with _open(path) as hdus:
        names = [hdu.name for hdu in hdus]
        header = hdus[0].header
        if "VALID_FRACTION" not in names or not {"WINDOW", "STRIDE", "PROVENAN"} <= set(header):
            raise InputError(f"{path} is not a score map; it has no WINDOW, STRIDE or extension VALID_FRACTION")
        planes = _read_planes(hdus[0], hdus, path)
        return ProbabilityMap(
            score=np.ascontiguousarray(planes.data[..., 0]),
            valid_fraction=np.asarray(hdus["VALID_FRACTION"].data, np.float32),
            wcs=planes.wcs,
            window_pixels=int(header["WINDOW"]),
            stride_pixels=int(header["STRIDE"]),
            provenance=json.loads(header["PROVENAN"]),
        )


def read_fits_table(path: _PATH) -> Table:
    """The first table of a FITS file, with the columns' comments (TCOMM) as descriptions. Raises InputError."""
    path = pathlib.Path(path)
    with _open(path) as hdus:
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


def write_fits_table(path: _PATH, table: Table) -> None:
    """Write a table with units, and descriptions as TCOMM, where TOPCAT and fv show them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # metadata that is no FITS keyword stays in the ECSV file
        plain = table.copy()
        plain.meta = {}
        hdu = fits.table_to_hdu(plain)
    for index, name in enumerate(table.colnames, start=1):
        if table[name].description:
            hdu.header[f"TCOMM{index}"] = table[name].description
    with replacing(path) as partial:
        hdu.writeto(partial, overwrite=True)
