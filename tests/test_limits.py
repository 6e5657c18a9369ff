"""Files of a few kilobytes that say they are gigabytes are refused by one line, in the memory of kilobytes."""

import gzip
import io
import pathlib
import resource
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from clusterjax.data.votes.panoptes import read_panoptes
from clusterjax.errors import InputError
from clusterjax.limits import VARIABLE, Limits, limits
from clusterjax.models.pretrained import read_weights
from clusterjax.sky.catalogues import read_table
from clusterjax.sky.fits import open_images, read_image, read_tile
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.moc import read_moc
from clusterjax.sky.surveys.contents import fault, read_archive
from tfds_builders.labelled_images.reading import read_pixels

SMALL = "image_pixels=1e6, unpacked_bytes=1e6, table_bytes=1e5, field_chars=1000, archive_bytes=1e6, archive_members=5"
MOST_BYTES = 200e6  # that a refusal may take; the bombs are of gigabytes


@pytest.fixture
def few_bytes(monkeypatch):
    monkeypatch.setenv(VARIABLE, f"{SMALL}, member_bytes=1000, weights_bytes=1e6")


def image_header(*lengths, bitpix=-32) -> bytes:
    header = make_wcs((8, 8), ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header()
    cards = [("SIMPLE", True), ("BITPIX", bitpix), ("NAXIS", len(lengths))]
    cards += [(f"NAXIS{axis}", length) for axis, length in enumerate(lengths, start=1)]
    return (fits.Header(cards) + header).tostring().encode()


def test_names_and_numbers(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert limits() == Limits()
    monkeypatch.setenv(VARIABLE, "image_pixels=2e9, archive_members = 7")
    assert limits() == Limits(image_pixels=2_000_000_000, archive_members=7)
    for wrong in ("pixels=3", "image_pixels", "image_pixels=-1", "image_pixels=nan", "image_pixels=inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(InputError, match=f"{VARIABLE} has '{wrong}'; write NAME=NUMBER, NAME one of image_pixels"):
            limits()


def test_packed_fits(tmp_path, few_bytes):
    path = tmp_path / "map.fits.gz"
    path.write_bytes(gzip.compress(image_header(2000, 2000) + bytes(4 * 2000**2), 9))
    assert path.stat().st_size < 50_000
    for read in (read_image, lambda one: open_images([one])):
        with pytest.raises(InputError, match=r"map.fits.gz has 1.6e\+07 bytes, more than 1e\+06; if that is as it sh"):
            read(path)
    path = tmp_path / "map.fits"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.fits", image_header(4, 4) + bytes(2880))
    with pytest.raises(InputError, match="is a zip archive; unpack it first"):
        read_image(path)


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**31, 2**31), (10**18, 2)])
def test_fits_that_says_it_is_huge(tmp_path, shape):
    path = tmp_path / "map.fits"
    path.write_bytes(image_header(*shape) + bytes(2880))
    for read in (read_image, read_tile, lambda one: open_images([one])):
        with pytest.raises(InputError, match=r"map.fits (cannot be read as FITS: |has .* pixels, more)"):
            read(path)


@pytest.mark.parametrize(("card", "value"), [("ZNAXIS1", 10**9), ("ZTILE1", 10**9), ("ZTILE2", 10**6)])
def test_tile_compressed_fits_that_says_it_is_huge(tmp_path, few_bytes, card, value):
    header = make_wcs((8, 8), ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header()
    packed = fits.CompImageHDU(np.arange(64, dtype=np.int32).reshape(8, 8), header, compression_type="GZIP_1")
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(stream)
    content = bytearray(stream.getvalue())
    place = content.index(f"{card:8}=".encode())
    content[place : place + 80] = f"{card:8}= {value:>20}".encode().ljust(80)
    path = tmp_path / "map.fits.fz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"map\.fits\.fz"):
        read_image(path)
    if card != "ZNAXIS1":
        with pytest.raises(InputError, match=r"a tile of .* pixels, more than"):
            open_images([path], check_signal=False)


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, "PNG")
    content = bytearray(stream.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_pictures(tmp_path, few_bytes):
    (tmp_path / "a.png").write_bytes(png(30_000, 30_000))
    with pytest.raises(InputError, match=r"a.png has 9e\+08 pixels, more than 1e\+06"):
        read_pixels(tmp_path / "a.png")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["a.csv", "a.ecsv", "a.vot"])
def test_tables(tmp_path, few_bytes, name, packed):
    path = tmp_path / (f"{name}.gz" if packed and name != "a.vot" else name)
    content = b"ra,dec\n" + b"1" * 200_000
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=r"has 1e\+05 bytes, more than 1e\+05"):
        read_table(path)


def test_other_texts(tmp_path, few_bytes):
    (tmp_path / "moc.json").write_text('{"5": [' + "1, " * 100_000 + "2]}")
    with pytest.raises(InputError, match="more than"):
        read_moc(tmp_path / "moc.json")
    (tmp_path / "votes.csv").write_text(
        "classification_id,user_name,annotations,subject_ids\n1," + "x" * 2000 + ",[],1\n"
    )
    with pytest.raises(InputError, match="field larger than field limit"):
        read_panoptes(tmp_path / "votes.csv")


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol"}">' for i in range(12))


@pytest.mark.parametrize(
    ("head", "data"),
    [
        (f"<!DOCTYPE VOTABLE [{LAUGHS}]>", "<TABLEDATA><TR><TD>&l11;</TD></TR></TABLEDATA>"),
        ('<!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "FILE">]>', "<TABLEDATA><TR><TD>&x;</TD></TR></TABLEDATA>"),
        ("", '<BINARY><STREAM href="FILE"/></BINARY>'),
        ("", '<FITS><STREAM\n href="FILE"/></FITS>'),
        ("", '<BINARY2><STREAM encoding="gzip">AAAA</STREAM></BINARY2>'),
    ],
)
def test_votables_that_reach_out(tmp_path, head, data):
    secret = tmp_path / "secret.txt"
    secret.write_text("do not read")
    path = tmp_path / "a.vot"
    text = (
        f'<?xml version="1.0"?>{head}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f'<TABLE><FIELD name="a" datatype="char" arraysize="*"/><DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>'
    )
    path.write_text(text.replace("FILE", secret.as_uri()))
    with pytest.raises(InputError, match="which this reader does not follow"):
        read_table(path)
    path.write_text(path.read_text(), encoding="utf-16")
    with pytest.raises(InputError):
        read_table(path)


@pytest.mark.parametrize("name", ["../../outside.fits", "/outside.fits", "a/../../outside.fits"])
def test_archives(tmp_path, few_bytes, name):
    def write(members):
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
            for member, content in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return tmp_path / "a.tar.gz"

    with pytest.raises(InputError, match="lies outside of the archive"):
        list(read_archive(write({name: b"x"})))
    with pytest.raises(InputError, match="unpacks to more than 1000000 bytes"):
        list(read_archive(write({"a": bytes(2_000_000)})))
    assert fault(tmp_path / "a.tar.gz", "tar.gz") == "a gzip stream that unpacks to more than 1000000 bytes"
    with pytest.raises(InputError, match="more than 5 members"):
        list(read_archive(write({str(i): b"" for i in range(9)})))


def test_weights(tmp_path, few_bytes):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"")
        archive.writestr("a/data/0", bytes(5_000_000))
    with pytest.raises(InputError, match=r"has 5e\+06 bytes, more than 1e\+06"):
        read_weights(tmp_path / "a.pth")


BOMBS = """
import gzip, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from clusterjax.errors import InputError
from clusterjax.sky.fits import read_image
from clusterjax.sky.catalogues import read_table
folder = pathlib.Path(sys.argv[1])
for name in ("map.fits.gz", "table.csv.gz"):
    try:
        (read_image if "fits" in name else read_table)(folder / name)
    except InputError as error:
        print(error)
"""


@pytest.mark.slow  # writes 20 GB of zeros into two files of 20 MB
def test_real_bombs_in_little_memory(tmp_path):
    side = 50_000
    for name, head in (("map.fits.gz", image_header(side, side)), ("table.csv.gz", b"ra,dec\n1,")):
        with gzip.open(tmp_path / name, "wb", compresslevel=1) as stream:
            stream.write(head)
            for _ in range(100):
                stream.write(b"0" * 100_000_000)
    result = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path), str(6 * 2**30)],
        capture_output=True, text=True, cwd=pathlib.Path(__file__).parents[1], check=True,
    )  # fmt: skip
    assert [line.split(" has ")[1].split(";")[0] for line in result.stdout.splitlines()] == [
        "1e+10 bytes, more than 8.59e+09", "2.147e+09 bytes, more than 2.147e+09",
    ]  # fmt: skip


def test_refusals_take_no_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "a.png").write_bytes(png(60_000, 60_000))
    (tmp_path / "map.fits").write_bytes(image_header(10**6, 10**5) + bytes(2880))
    for read, name in ((read_pixels, "a.png"), (read_image, "map.fits")):
        with pytest.raises(InputError):
            read(tmp_path / name)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES
