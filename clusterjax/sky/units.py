"""Units of maps, as surveys write them into BUNIT, and one map in those of another.

Temperatures are those of the CMB (a plain K too: ACT and Planck's maps are thermodynamic). Fluxes are a pixel's, in
nanomaggies of the Vega or the AB system, in DN with a MAGZP (WISE's, in Vega magnitudes), in Jy, or in Jy/sr.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.reader import MapReader
from clusterjax.sky.skymap import SkyMap

_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "m": 1e-3, "u": 1e-6, "mu": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9}
_TEMPERATURE = re.compile(r"(m|u|mu|µ|μ|n|)[kK](?:elvin)?_?(?:CMB|cmb|thermo)?")
_NANOMAGGIES = re.compile(r"(?:nmgy|nmaggy|nanomagg(?:y|ies))(?:/?pix(?:el)?)?", re.IGNORECASE)
_COUNTS = re.compile(r"(?:dn|adu|counts?)(?:/?pix(?:el)?)?", re.IGNORECASE)
_JANSKY = re.compile(r"(k|M|m|u|mu|µ|μ|n|)[jJ]y(?:(?:/|\.)?(?P<per>sr|pix|pixel)(?:\^?-1)?)?")
_ZERO_POINT_MAG = 22.5  # of nanomaggies
# WISE (Jarrett et al. 2011, table 1; Wright et al. 2010): flux of a star of magnitude 0 in Jy, and AB - Vega
_WISE = {"W1": (309.540, 2.699), "W2": (171.787, 3.339), "W3": (31.674, 5.174), "W4": (8.363, 6.620)}


@dataclasses.dataclass(frozen=True)
class _Unit:
    """``kind`` is temperature (in K), vega, ab, plain or, of counts, the camera's (nanomaggies), pixel (Jy) or sr
    (Jy / sr); a value is ``factor`` of those."""

    kind: str
    factor: float


def _parse(text: str) -> _Unit | None:
    """None for what is not known, Jy/beam and RJ temperatures among it."""
    name, _, remark = text.strip().rstrip(")").partition("(")
    name, remark = re.sub(r"\s+", "", name), remark.strip().lower()
    if (match := _TEMPERATURE.fullmatch(name)) and not remark:
        return _Unit("temperature", _PREFIXES[match[1]])
    if _NANOMAGGIES.fullmatch(name) and remark in ("", "vega", "ab"):
        return _Unit(remark or "plain", 1.0)
    if _COUNTS.fullmatch(name) and (match := re.fullmatch(r"magzp ([-+0-9.e]+)", remark)):
        return _Unit("counts", 10 ** ((_ZERO_POINT_MAG - float(match[1])) / 2.5))
    if (match := _JANSKY.fullmatch(name)) and not remark:
        return _Unit("sr" if match["per"] == "sr" else "pixel", _PREFIXES[match[1]])
    return None


def conversion_factors(
    given: str, wanted: str, *, bands: Sequence[str], pixel_scale_arcsec: float
) -> Float[np.ndarray, " band"] | None:
    """What each band's values in ``given`` are multiplied by to be in ``wanted``: units as text, one for all bands or
    one a band separated by commas. None where that is not known.

    Nanomaggies that do not say of which system are taken as those of the other side. Fluxes in other than nanomaggies
    of one system are converted for the bands of WISE; Jy/sr with the area of the central pixel.
    """
    each = [[part.strip() for part in units.split(",")] for units in (given, wanted)]
    if not all(len(parts) in (1, len(bands)) for parts in each):
        return None
    each = [parts * len(bands) if len(parts) == 1 else parts for parts in each]
    factors = [_factor(*pair, band, pixel_scale_arcsec) for *pair, band in zip(*each, bands, strict=True)]
    return None if None in factors else np.array(factors)


def _factor(given: str, wanted: str, band: str, pixel_scale_arcsec: float) -> float | None:
    if given == wanted:
        return 1.0
    units = _parse(given), _parse(wanted)
    if None in units:
        return None
    kinds = {unit.kind for unit in units}
    if len(kinds) == 1 or kinds in ({"plain", "vega"}, {"plain", "ab"}):
        return units[0].factor / units[1].factor
    if kinds & {"temperature", "plain"} or band.upper() not in _WISE:
        return None
    zero_jy, ab_minus_vega = _WISE[band.upper()]
    area_sr = np.radians(pixel_scale_arcsec / 3600) ** 2
    nanomaggies = {  # of Vega
        "vega": 1.0,
        "counts": 1.0,
        "ab": 10 ** (ab_minus_vega / 2.5),
        "pixel": 1e9 / zero_jy,
        "sr": 1e9 / zero_jy * area_sr,
    }
    return units[0].factor * nanomaggies[units[0].kind] / (units[1].factor * nanomaggies[units[1].kind])


class ConvertedReader(MapReader):
    """A map whose bands are multiplied by ``factors`` as they are read."""

    def __init__(self, reader: MapReader, factors: Float[np.ndarray, " band"], units: str):
        self._reader, self._factors, self.units = reader, np.asarray(factors, np.float32), units
        self.wcs, self.shape, self.bands, self.turn = reader.wcs, reader.shape, reader.bands, reader.turn
        self.where = reader.where

    @property
    def pixel_scale_arcsec(self) -> float:
        return self._reader.pixel_scale_arcsec

    def bounding_cap(self) -> tuple[np.ndarray, float]:
        return self._reader.bounding_cap()

    def pixels(self, y0: int, x0: int, ny: int, nx: int) -> Float[np.ndarray, "ny nx band"]:
        return self._reader.pixels(y0, x0, ny, nx) * self._factors

    def values(self, ra_deg, dec_deg) -> Float[np.ndarray, "position band"]:
        return self._reader.values(ra_deg, dec_deg) * self._factors

    def windows_around(self, ra_deg, dec_deg, size: int) -> Float[np.ndarray, "position size size band"]:
        return self._reader.windows_around(ra_deg, dec_deg, size) * self._factors

    def read_around(self, ra_deg: float | int, dec_deg: float | int, size: int) -> SkyMap:
        return _scaled(self._reader.read_around(ra_deg, dec_deg, size), self._factors, self.units)


def _scaled(sky: SkyMap, factors: np.ndarray, units: str) -> SkyMap:
    return dataclasses.replace(sky, data=sky.data * np.asarray(factors, np.float32), units=units)


def in_units(sky: SkyMap | MapReader, units: str) -> SkyMap | MapReader | None:
    """The map in ``units``, itself where it is in them already; None where how to convert it is not known."""
    if sky.units == units:
        return sky
    factors = conversion_factors(sky.units, units, bands=sky.bands, pixel_scale_arcsec=sky.pixel_scale_arcsec)
    if factors is None:
        return None
    return _scaled(sky, factors, units) if isinstance(sky, SkyMap) else ConvertedReader(sky, factors, units)


def in_units_of(sky: MapReader, units: str) -> MapReader:
    """As :func:`in_units`, of maps that must go together; where one of them has no units they are taken as the
    same. Raises :class:`InputError` for units that cannot be converted."""
    if not sky.units or not units:
        return sky
    converted = in_units(sky, units)
    if converted is None:
        raise InputError(f"{sky.where} is in {sky.units}, which cannot be converted to {units}")
    return converted
