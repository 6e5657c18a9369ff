"""What surveys write into their image headers, and what of it is wrong."""

import pathlib
import re
from collections.abc import Mapping

_PLAUSIBLE_YEARS = (1800.0, 2200.0)


def _plausible_year(value) -> bool:
    return isinstance(value, int | float) and _PLAUSIBLE_YEARS[0] < value < _PLAUSIBLE_YEARS[1]


def celestial_header(header):
    """A copy of a FITS header whose celestial frame can be trusted.

    unWISE counts its epochs in EPOCH (-1 is the full depth), which the FITS standard takes for the equinox: such
    values are dropped, and so is any EPOCH beside an EQUINOX. RA and Dec without RADESYS, at J2000 or without
    equinox, are taken as ICRS, to which every modern survey is calibrated (the standard's default, FK5, is 0.02"
    away at most).
    """
    header = header.copy()
    for key in ("EPOCH", "EQUINOX"):
        if key in header and not _plausible_year(header[key]):
            del header[key]
    if "EPOCH" in header and "EQUINOX" in header:
        del header["EPOCH"]
    equinox = header.get("EQUINOX", header.get("EPOCH", 2000.0))
    if equinox == 2000.0 and "RADESYS" not in header and "RADECSYS" not in header:
        header["RADESYS"] = "ICRS"
    return header


def band_names(header: Mapping, num_bands: int, path: pathlib.Path) -> list[str]:
    """Names of an image's planes.

    BAND0, BAND1, ... (Legacy Surveys); for a single plane BAND (in WISE a number), FILTER, -w1- in a file's name
    (WISE), or that name.
    """
    if all(f"BAND{index}" in header for index in range(num_bands)):
        return [_band_name(header[f"BAND{index}"], header) for index in range(num_bands)]
    if num_bands == 1:
        for key in ("BAND", "FILTER"):
            if str(header.get(key, "")).strip():
                return [_band_name(header[key], header)]
        wise = re.search(r"(?:^|[-_.])w([1-4])(?=[-_.])", path.name.lower())
        if wise:
            return [f"W{wise[1]}"]
        name = path.name
        for suffix in (".gz", ".fz", ".fits", ".fit"):
            name = name.removesuffix(suffix)
        return [name]
    return [f"band{index + 1}" for index in range(num_bands)]


def _band_name(value, header: Mapping) -> str:
    name = str(value).strip()
    wise = any(key in header for key in ("UNW_VER", "UNW_SKY")) or "WISE" in str(header.get("SURVEY", "")).upper()
    return f"W{name}" if wise and name in ("1", "2", "3", "4") else name


def image_units(header: Mapping) -> str:
    """BUNIT, of counts with their MAGZP; unWISE coadds have none and are in Vega nanomaggies (Lang 2014); empty if
    unknown."""
    units = str(header.get("BUNIT", "")).strip()
    if not units and "UNW_VER" in header:
        return "nMgy (Vega)"
    zero_point = header.get("MAGZP")
    if units.upper() in ("DN", "ADU", "COUNT", "COUNTS") and isinstance(zero_point, int | float):
        return f"{units} (MAGZP {zero_point:g})"
    return units
