"""Image services: what to ask for a cutout, and how to read the answer. They ask nothing themselves.

CDS hips2fits (Boch et al. 2020) resamples a HiPS to just the grid asked for; unwise.me (Lang 2014) sends the co-adds'
own pixels, in pieces where tiles meet; the Legacy Surveys' viewer sends a cube of both bands.
"""

import dataclasses
import gzip
import pathlib
import re
import tempfile
import urllib.parse
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_from_several
from clusterjax.sky.fits import read_sky_map
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.surveys.contents import read_archive

UNWISE_SCALE_ARCSEC = 2.75
_UNWISE_BANDS = ("W1", "W2")
_HEADER_BYTES = 5760  # the axes stand at the beginning
_VEGA = "nMgy (Vega)"
_CDS = "https://alasky.cds.unistra.fr/hips-image-services/hips2fits"


def _with_query(url: str, **query) -> str:
    return f"{url}?{urllib.parse.urlencode(query, safe='/')}"


def _degrees(value: float) -> str:
    """To 0.4 milliarcseconds; always the same text, for it is the cache's key."""
    return f"{value:.7f}"


class _AsAsked:
    """What services share that send one map, of the size asked for and about the very position."""

    bands: tuple[str, ...]
    units: str

    def read(self, bodies: Sequence[pathlib.Path]) -> list[SkyMap]:
        return [dataclasses.replace(read_sky_map(bodies, bands=self.bands), units=self.units)]

    def asked_size(self, size: int) -> int:
        return size


@dataclasses.dataclass(frozen=True)
class Hips2Fits(_AsAsked):
    """One request a band, with an exact WCS: TAN, ICRS, the position in the middle, north up."""

    hips: tuple[str, ...]
    bands: tuple[str, ...]
    pixel_scale_arcsec: float
    units: str
    url: str = _CDS
    kind: str = "fits"
    max_size: int = 5000

    def urls(self, ra_deg: float, dec_deg: float, size: int) -> tuple[str, ...]:
        query = {"width": size, "height": size, "fov": f"{size * self.pixel_scale_arcsec / 3600:.9f}"}
        query |= {"projection": "TAN", "coordsys": "icrs", "ra": _degrees(ra_deg), "dec": _degrees(dec_deg)}
        return tuple(_with_query(self.url, hips=name, **query, format="fits") for name in self.hips)


@dataclasses.dataclass(frozen=True)
class LegacyViewer(_AsAsked):
    """One cube of all bands, at the co-adds' pixel scale."""

    layer: str = "unwise-neo7"
    url: str = "https://www.legacysurvey.org/viewer/fits-cutout"
    bands: tuple[str, ...] = _UNWISE_BANDS
    pixel_scale_arcsec: float = UNWISE_SCALE_ARCSEC
    units: str = _VEGA
    kind: str = "fits"
    max_size: int = 3000

    def urls(self, ra_deg: float, dec_deg: float, size: int) -> tuple[str, ...]:
        query = {"ra": _degrees(ra_deg), "dec": _degrees(dec_deg), "layer": self.layer}
        return (_with_query(self.url, **query, pixscale=self.pixel_scale_arcsec, size=size),)


@dataclasses.dataclass(frozen=True)
class UnwiseMe:
    """One tar.gz of both bands' images in the co-adds' own pixels; of two tiles or more where they meet.

    The position lies up to a pixel beside the middle, hence a margin; the WCS says where it is.
    """

    version: str = "neo7"
    url: str = "https://unwise.me/cutout_fits"
    bands: tuple[str, ...] = _UNWISE_BANDS
    pixel_scale_arcsec: float = UNWISE_SCALE_ARCSEC
    units: str = _VEGA
    kind: str = "tar.gz"
    margin: int = 4
    max_size: int = 1020

    def urls(self, ra_deg: float, dec_deg: float, size: int) -> tuple[str, ...]:
        query = {"version": self.version, "ra": _degrees(ra_deg), "dec": _degrees(dec_deg)}
        return (_with_query(self.url, **query, size=size + self.margin, bands="12", file_img_m="on"),)

    def read(self, bodies: Sequence[pathlib.Path]) -> list[SkyMap]:
        """A map of each tile that has something of both bands."""
        tiles: dict[str, dict[str, bytes]] = {}
        for name, content in read_archive(bodies[0]):
            match = re.fullmatch(r"unwise-(\w+)-w([12])-img-m\.fits(\.gz)?", name)
            if match:
                tiles.setdefault(match[1], {})[name] = content
        maps, problem = [], InputError(f"{bodies[0]} holds no images named unwise-TILE-w1-img-m.fits")
        with tempfile.TemporaryDirectory() as folder:
            for members in tiles.values():
                paths = [pathlib.Path(folder) / name for name in sorted(members)]
                for path in paths:
                    path.write_bytes(members[path.name])
                try:
                    maps.append(dataclasses.replace(read_sky_map(paths, bands=self.bands), units=self.units))
                except InputError as error:  # of a strip a pixel wide, say; another tile may have all
                    problem = error
        if not maps:
            raise problem
        return maps

    def asked_size(self, size: int) -> None:
        return None


# Each says: ``urls`` of the bodies that a cutout takes, their ``kind``, how to ``read`` them, and ``asked_size``,
# the pixels a side that an image must have (None: it may have less).
ImageService = Hips2Fits | LegacyViewer | UnwiseMe

_ACT = tuple(f"CDS/P/ACT_Planck/DR5/{band}" for band in ("f090", "f150", "f220"))
_PLANCK_BANDS = ("100", "143", "217")
SERVICES: dict[str, ImageService] = {
    "hips_unwise": Hips2Fits(
        ("CDS/P/unWISE/W1", "CDS/P/unWISE/W2"), _UNWISE_BANDS, UNWISE_SCALE_ARCSEC, _VEGA
    ),
    "unwise_me": UnwiseMe(),
    "legacy_unwise": LegacyViewer(),
    "hips_act": Hips2Fits(_ACT, ("f090", "f150", "f220"), 30.0, "uK_CMB"),
    "hips_planck": Hips2Fits(
        tuple(f"CDS/P/PLANCK/R3/HFI{band}" for band in _PLANCK_BANDS), _PLANCK_BANDS, 60.0, "K_CMB"
    ),
}  # fmt: skip
INFRARED = ("hips_unwise", "unwise_me", "legacy_unwise")
MICROWAVE = ("hips_act", "hips_planck")


def image_service(name: str, allowed: Sequence[str] = tuple(SERVICES)) -> ImageService:
    """Raises :class:`InputError` for a name that is not among ``allowed``."""
    if name not in allowed:
        raise InputError(f"config.data.survey.service={name!r} is unknown here; use one of {', '.join(allowed)}")
    return SERVICES[name]


def wrong_size(service: ImageService, size: int, body: pathlib.Path) -> str | None:
    """What is wrong with the image in a body; None if it has the size that was asked for."""
    asked = service.asked_size(size)
    if asked is None:
        return None
    # By hand, for this runs in the downloader's threads and astropy's readers change the program's warnings.
    with gzip.open(body) if body.read_bytes()[:2] == b"\x1f\x8b" else body.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    found = [re.search(rb"NAXIS%d *= *(\d+)" % axis, header) for axis in (2, 1)]
    if not all(found):
        return "a FITS file whose first part is no image"
    ny, nx = (int(match[1]) for match in found)
    return (
        None if (ny, nx) == (asked, asked) else f"an image of {ny} x {nx} pixels where {asked} x {asked} were asked for"
    )


def read_cutout(
    service: ImageService, bodies: Sequence[pathlib.Path], ra_deg: float, dec_deg: float, size: int
) -> tuple[Float[np.ndarray, "size size band"], float]:
    """The ``size`` pixels a side around a position, and the fraction of them that is valid.

    Raises :class:`InputError` for bodies without a signal, or on pixels of another scale than the service has.
    """
    maps = service.read(bodies)
    for sky in maps:
        if abs(sky.pixel_scale_arcsec / service.pixel_scale_arcsec - 1) > 0.01:
            raise InputError(
                f'{bodies[0]} has {sky.pixel_scale_arcsec:.3f}" pixels; {service.pixel_scale_arcsec:g}" were asked for'
            )
    return extract_from_several(maps, ra_deg, dec_deg, size)
