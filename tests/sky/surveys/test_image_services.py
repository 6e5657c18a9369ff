"""Image services: the right sky under every pixel, from answers in their formats and with their faults."""

import functools
import io
import tarfile
import urllib.parse

import numpy as np
import pytest
from astropy.io import fits

from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_from_several
from clusterjax.sky.fits import read_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.surveys.downloads import Downloader, DownloadSettings
from clusterjax.sky.surveys.images import (
    INFRARED,
    MICROWAVE,
    SERVICES,
    Hips2Fits,
    image_service,
    read_cutout,
    wrong_size,
)
from tests.local_server import Answer, LocalServer
from tests.survey_sky import SCALE, TILE, hips2fits, mirrors, respond, sky_value, tile_wcs, unwise_me

SIZE = 24


@pytest.fixture
def server():
    with LocalServer(respond) as running:
        yield running


@pytest.fixture
def fetch(server, tmp_path):
    """The cutout of a service at a position, through the downloader."""

    def get(name, ra, dec, size=SIZE, **changes):
        service = SERVICES[name]
        settings = DownloadSettings(tmp_path / "cache", mirrors=mirrors(server.url), attempts=2, **changes)
        with Downloader(settings, sleep=lambda _: None) as downloader:
            check = functools.partial(wrong_size, service, size)
            bodies = list(downloader.fetch_many(service.urls(ra, dec, size), service.kind, check))
        return read_cutout(service, bodies, ra, dec, size)

    return get


def expected(ra, dec, scale, bands, size=SIZE):
    """The sky at the pixels of a north-up cutout, and at those up to half a pixel beside them."""
    wcs = make_wcs((size, size), ra_deg=ra, dec_deg=dec, pixel_scale_arcsec=scale)
    sky = SkyMap(np.zeros((size, size, 1), np.float32), wcs, np.ones((size, size), bool), ("a",))
    position = sky.pixel_to_sky(*np.indices((size, size)))
    return np.stack([sky_value(*position, band) for band in range(bands)], axis=-1)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_shows_the_sky_that_is_there(fetch, name):
    ra, dec = 30.013, 0.017
    service = SERVICES[name]
    image, valid = fetch(name, ra, dec)
    assert valid == 1.0
    truth = expected(ra, dec, service.pixel_scale_arcsec, len(service.bands))
    # Own pixels lie up to half a pixel beside; a whole one would be seen.
    step = np.abs(np.diff(truth, axis=0)).max()
    own_pixels = name == "unwise_me"
    assert np.abs(image - truth).max() < (1.1 * step if own_pixels else 1e-4)
    assert np.abs(np.roll(image, 2, axis=0)[3:] - truth[3:]).max() > 1.5 * step


def test_a_cutout_on_two_tiles_is_whole(fetch, server):
    spacing = (TILE - 40) * SCALE / 3600
    ra, dec, size = 30.003, 1.5 * spacing + 0.003, 64  # the overlap is 40 pixels: neither tile has all
    image, valid = fetch("unwise_me", ra, dec, size)
    assert len(tile_wcs(dec)[1]) == 3
    assert valid == 1.0
    truth = expected(ra, dec, SCALE, 2, size)
    step = np.abs(np.diff(truth, axis=0)).max()
    assert np.abs(image - truth).max() < 2.2 * step  # the seam adds half a pixel
    _, alone = fetch("unwise_me", ra, 1.5 * spacing + 0.005, 20)
    assert alone == 1.0
    assert {one.query["size"] for one in server.asked} == {"68", "24"}


def test_several_maps_are_joined_only_where_something_is_missing():
    shape, size = (30, 30), 12
    maps = []
    for value, ra in ((1.0, 10.0), (2.0, 10.0 - 20 * SCALE / 3600)):
        wcs = make_wcs(shape, ra_deg=ra, dec_deg=0.0, pixel_scale_arcsec=SCALE)
        maps.append(SkyMap(np.full((*shape, 1), value, np.float32), wcs, np.ones(shape, bool), ("a",)))
    ra, dec = (float(value) for value in maps[0].pixel_to_sky(14.5, 24.5))
    image, valid = extract_from_several(maps, ra, dec, size)
    assert valid == 1.0
    second = image[..., 0] == 2.0
    assert 0 < second.sum() < second.size
    assert (second.all(axis=0) | ~second.any(axis=0)).all()
    best = [abs(np.isfinite(extract_from_several([sky], ra, dec, size)[0]).mean()) for sky in maps]
    assert second.mean() == pytest.approx(1 - max(best) if best[0] >= best[1] else max(best))
    far, none = extract_from_several(maps, ra + 90, dec, size)
    assert none == 0.0
    assert np.isnan(far).all()


FAULTS = {
    "status 504": lambda body: Answer(status=504),
    r"the body broke off after \d+ of": lambda body: Answer(body[: len(body) // 2], length=len(body)),
    "a truncated": lambda body: Answer(body[:-40], length=None),
    r"an HTML page \(Service unavailable\)": lambda body: Answer(b"<!doctype html><title>Service unavailable</title>"),
    r"no answer within 0\.3 s": lambda body: Answer(body, delay_s=0.8),
}


@pytest.mark.parametrize("name", ["hips_unwise", "unwise_me", "legacy_unwise"])
@pytest.mark.parametrize("message", FAULTS)
def test_faults_pass_or_end_in_one_line(fetch, server, name, message):
    faults = [True]

    def sometimes(asked):
        answer = respond(asked)
        return FAULTS[message](answer.body) if faults and faults.pop() else answer

    server.respond = sometimes
    _, valid = fetch(name, 30.0, 0.0, timeout_s=0.3)
    assert valid == 1.0
    server.respond = lambda asked: FAULTS[message](respond(asked).body)
    with pytest.raises(InputError, match=message):
        fetch(name, 30.01, 0.0, timeout_s=0.3)


def test_an_image_of_another_size_or_scale_is_refused(fetch, server):
    server.respond = lambda asked: Answer(hips2fits({**asked.query, "width": "20"}))
    with pytest.raises(InputError, match="an image of 20 x 20 pixels where 24 x 24 were asked for"):
        fetch("hips_unwise", 30.0, 0.0)
    server.respond = lambda asked: Answer(hips2fits({**asked.query, "fov": "1.0"}))
    with pytest.raises(InputError, match=r'has 150\.\d+" pixels; 2\.75" were asked for'):
        fetch("hips_unwise", 30.0, 0.1)
    server.respond = lambda asked: Answer(b"SIMPLE  =                    T".ljust(2880))
    with pytest.raises(InputError, match="a FITS file whose first part is no image"):
        fetch("hips_unwise", 30.0, 0.2)


def test_archives_without_the_images_are_refused(fetch, server):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("unwise-0000p000-w1-std-m.fits"))
    server.respond = lambda asked: Answer(stream.getvalue())
    with pytest.raises(InputError, match=r"holds no images named unwise-TILE-w1-img-m\.fits"):
        fetch("unwise_me", 30.0, 0.0)


def test_unknown_services_are_named():
    with pytest.raises(InputError, match=r"service='skyview' is unknown here; use one of hips_unwise, unwise_me"):
        image_service("skyview", INFRARED)
    assert set(INFRARED) | set(MICROWAVE) == set(SERVICES)


def test_a_real_answer_of_hips2fits(shared_data):
    """M74 in AllWISE, 400 pixels of 1.53 arcsec: the request that we would make, and how it is read."""
    files = [shared_data / f"wise/m74_wise_w{band}.fits" for band in (1, 2)]
    service = Hips2Fits(("CDS/P/allWISE/W1", "CDS/P/allWISE/W2"), ("W1", "W2"), 1.53, "DN")
    ra, dec = 24.17393802, 15.78364098
    assert "fov=0.170000000&" in service.urls(ra, dec, 400)[0]
    assert wrong_size(service, 400, files[0]) is None
    image, valid = read_cutout(service, files, ra, dec, 400)
    assert valid == 1.0
    np.testing.assert_array_equal(image, read_sky_map(files).data)


@pytest.mark.parametrize(("case", "tile"), [("testcase4", "1866p257"), ("testcase12", "3460p121")])
def test_real_unwise_images_in_an_archive(shared_data, tmp_path, case, tile):
    folder = shared_data / f"unwise/{case}/images/unwise/{tile[:3]}/{tile}"
    with tarfile.open(tmp_path / "cutout.tar.gz", "w:gz") as tar:
        for path in sorted(folder.glob("*-w[12]-*")):
            tar.add(path, path.name)
    (sky,) = SERVICES["unwise_me"].read([tmp_path / "cutout.tar.gz"])
    truth = read_sky_map([folder / f"unwise-{tile}-w{band}-img-m.fits" for band in (1, 2)])
    assert sky.bands == ("W1", "W2")
    assert sky.units == "nMgy (Vega)"
    np.testing.assert_array_equal(sky.data, truth.data)
    ra, dec = (float(value) for value in sky.pixel_to_sky(4.5, 4.5))
    image, valid = read_cutout(SERVICES["unwise_me"], [tmp_path / "cutout.tar.gz"], ra, dec, 8)
    assert valid == 1.0
    np.testing.assert_array_equal(image, truth.data[1:9, 1:9])


def test_the_stand_in_has_real_headers(shared_data):
    """What the local server sends has the cards of real answers that matter."""
    (url, _) = Hips2Fits(("CDS/P/x/W1", "CDS/P/x/W2"), ("W1", "W2"), 1.53, "DN").urls(24.17393802, 15.78364098, 400)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    ours = fits.getheader(io.BytesIO(hips2fits(query)))
    real = fits.getheader(shared_data / "wise/m74_wise_w1.fits")
    for key in ("NAXIS1", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "RADESYS"):
        assert ours[key] == pytest.approx(real[key]) if not isinstance(real[key], str) else ours[key] == real[key]
    with tarfile.open(fileobj=io.BytesIO(unwise_me({"size": "10", "ra": "30", "dec": "0"}))) as tar:
        ours = fits.getheader(io.BytesIO(tar.extractfile(tar.getmembers()[0]).read()))
    real = fits.getheader(shared_data / "unwise/testcase12/images/unwise/346/3460p121/unwise-3460p121-w1-img-m.fits")
    for key in ("EPOCH", "EQUINOX", "BAND", "MAGZP"):
        assert ours[key] == real[key]
    assert "RADESYS" not in ours
    assert "RADESYS" not in real
