"""A sky that answers as the survey services do, in their formats: a smooth pattern, known at every position."""

import functools
import io
import tarfile

import numpy as np
from astropy.io import fits

from clusterjax.sky.geometry import make_wcs, pixel_to_sky, sky_to_pixel, unit_vectors
from tests.local_server import Answer, Asked

MIRRORS = ("https://alasky.cds.unistra.fr", "https://www.legacysurvey.org", "https://unwise.me",
           "https://vizier.cds.unistra.fr", "https://cdsarc.cds.unistra.fr")  # fmt: skip
TILE = 256  # pixels a side here; 2048 in truth
SCALE = 2.75


def sky_value(ra_deg, dec_deg, band: int):
    """A few waves across the sphere, of some 20 arcmin; it turns by 1e-2 a pixel of unWISE."""
    vectors = unit_vectors(ra_deg, dec_deg)
    waves = np.random.default_rng(band).normal(size=(4, 3)) * 1000
    return np.sin(vectors @ waves.T).sum(-1).astype(np.float32)


def _header(wcs) -> fits.Header:
    header = wcs.to_header()
    header["RADESYS"] = "ICRS"
    return header


def fits_bytes(data, header) -> bytes:
    stream = io.BytesIO()
    fits.PrimaryHDU(np.asarray(data, ">f4"), header).writeto(stream)
    return stream.getvalue()


def _image(wcs, shape, bands):
    ra, dec = pixel_to_sky(wcs, *np.indices(shape))
    return np.stack([sky_value(ra, dec, band) for band in bands])


def hips2fits(query: dict) -> bytes:
    bands = {"W1": 0, "W2": 1, "f090": 0, "f150": 1, "f220": 2, "HFI100": 0, "HFI143": 1, "HFI217": 2}
    size = int(query["width"])
    wcs = make_wcs((size, size), ra_deg=float(query["ra"]), dec_deg=float(query["dec"]),
                   pixel_scale_arcsec=float(query["fov"]) / size * 3600)  # fmt: skip
    return fits_bytes(_image(wcs, (size, size), [bands[query["hips"].rsplit("/", 1)[1]]])[0], _header(wcs))


def legacy_viewer(query: dict) -> bytes:
    size = int(query["size"])
    wcs = make_wcs((size, size), ra_deg=float(query["ra"]), dec_deg=float(query["dec"]),
                   pixel_scale_arcsec=float(query["pixscale"]))  # fmt: skip
    header = _header(wcs)
    header["SURVEY"], header["VERSION"], header["BANDS"] = "unWISE", "NEO7", "12"
    header["BAND0"], header["BAND1"] = "1", "2"
    return fits_bytes(_image(wcs, (size, size), (0, 1)), header)


def tile_wcs(dec_deg: float):
    """Tiles of which neighbours in declination overlap by 40 pixels."""
    spacing = (TILE - 40) * SCALE / 3600
    number = round(dec_deg / spacing)
    return number, [
        (f"0000p{n:03d}", make_wcs((TILE, TILE), ra_deg=30.0, dec_deg=n * spacing, pixel_scale_arcsec=SCALE))
        for n in (number - 1, number, number + 1)
    ]


def unwise_me(query: dict) -> bytes:
    """Whole pixels of each tile that has some; the position up to a pixel beside the middle; EPOCH = -1 and all."""
    size, ra, dec = int(query["size"]), float(query["ra"]), float(query["dec"])
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, wcs in tile_wcs(dec)[1]:
            y, x = sky_to_pixel(wcs, ra, dec)
            x0, y0 = (int(np.floor(pixel)) - size // 2 for pixel in (x, y))
            rows = slice(max(y0, 0), min(y0 + size, TILE))
            columns = slice(max(x0, 0), min(x0 + size, TILE))
            if rows.start >= rows.stop or columns.start >= columns.stop:
                continue
            part = wcs.deepcopy()
            part.wcs.crpix = np.array(wcs.wcs.crpix) - [columns.start, rows.start]
            header = _header(part)
            del header["RADESYS"]
            header["EQUINOX"], header["EPOCH"], header["MAGZP"], header["UNW_VER"] = 2000.0, -1, 22.5, "v3.5"
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            for band, data in enumerate(_image(part, shape, (0, 1)), start=1):
                header["BAND"] = band
                body = fits_bytes(data, header)
                info = tarfile.TarInfo(f"unwise-{name}-w{band}-img-m.fits")
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


IMAGES = {
    "/hips-image-services/hips2fits": hips2fits,
    "/viewer/fits-cutout": legacy_viewer,
    "/cutout_fits": unwise_me,
}


@functools.lru_cache(maxsize=4096)
def _image_body(path: str, query: tuple) -> bytes:
    return IMAGES[path](dict(query))


def respond(asked: Asked, tables: dict[str, dict] | None = None) -> Answer:
    """``tables``: VizieR's, by name."""
    if asked.path in IMAGES:
        return Answer(_image_body(asked.path, tuple(asked.query.items())))
    if asked.path == "/viz-bin/votable":
        rows = (tables or {}).get(asked.query["-source"])
        return Answer(NO_TABLE if rows is None else votable(rows))
    return Answer(b"<html><title>404</title></html>", status=404)


def patch_of_sky(number: int, seed: int, **columns) -> dict[str, np.ndarray]:
    """Columns of VizieR's: positions uniform within RA 20 to 50, Dec -15 to 15, and more of as many rows."""
    rng = np.random.default_rng(seed)
    sine = np.sin(np.radians(15))
    return {
        "_RAJ2000": rng.uniform(20, 50, number),
        "_DEJ2000": np.degrees(np.arcsin(rng.uniform(-sine, sine, number))),
        "Name": np.array([f"{seed}-{i}" for i in range(number)], str),
        **{name: np.resize(values, number) for name, values in columns.items()},
    }


def mirrors(url: str) -> dict[str, str]:
    """All services at one server."""
    return dict.fromkeys(MIRRORS, url)


UNITS = {"M500": "10+14Msun", "MSZ": "10+14Msun"}


def votable(rows: dict, *, status: str = "OK") -> bytes:
    """As VizieR writes it: a resource with a table, fields with units, values as text."""
    kinds = {"U": 'datatype="char" arraysize="*"', "f": 'datatype="double"', "i": 'datatype="int"'}
    columns = {name: np.asarray(values) for name, values in rows.items()}
    units = {name: "deg" if name.strip("_")[:2] in ("RA", "DE") else UNITS.get(name) for name in columns}
    fields = "".join(
        f'<FIELD name="{name}" ID="c{index}" {kinds[values.dtype.kind]}'
        f"{f' unit={chr(34)}{units[name]}{chr(34)}' if units[name] and values.dtype.kind == 'f' else ''}/>\n"
        for index, (name, values) in enumerate(columns.items())
    )
    lines = (
        "<TR>" + "".join(f"<TD>{'' if value != value else value}</TD>" for value in line) + "</TR>\n"
        for line in zip(*columns.values(), strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        '<DESCRIPTION>VizieR Astronomical Server</DESCRIPTION>\n<RESOURCE ID="yCat" name="J/x" type="results">\n'
        f'<INFO name="QUERY_STATUS" value="{status}"/>\n<TABLE ID="t" name="J/x/t">\n{fields}'
        f"<DATA><TABLEDATA>\n{''.join(lines)}</TABLEDATA></DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n"
    ).encode()


NO_TABLE = (
    b'<?xml version="1.0"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
    b'<INFO ID="Errors" name="Error" value="No catalog or table was specified"/>\n</VOTABLE>\n'
)


def survey_mirrors(url: str) -> tuple[str, ...]:
    """The same as ``config.data.survey.mirrors`` has it."""
    return tuple(f"{one}={other}" for one, other in mirrors(url).items())
