"""Small valid files of each kind that is read, for the mutations to begin with."""

import collections
import csv
import dataclasses
import gzip
import io
import json
import pathlib
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from clusterjax.config import ExperimentConfig, to_json
from clusterjax.data.votes.questions import HUNT_FOR_CLUSTERS
from clusterjax.sky.fits import write_probability_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.moc import Moc, write_moc
from clusterjax.sky.skymap import ProbabilityMap
from tests.sky.test_sphere import write_healpix, write_hips
from tests.survey_sky import votable

SHAPE = (12, 10)
Seeds = list[tuple[str, bytes]]  # (file name, content)


def _stored(hdu) -> bytes:
    stream = io.BytesIO()
    hdu.writeto(stream)
    return stream.getvalue()


def _header(**cards) -> fits.Header:
    header = make_wcs(SHAPE, ra_deg=30, dec_deg=5, pixel_scale_arcsec=60).to_header()
    header.update(cards)
    return header


def images(_: pathlib.Path) -> Seeds:
    plane = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    whole = (plane * 100).astype(np.int16)
    plane[3, 4] = np.nan
    numbers = fits.PrimaryHDU(whole, _header())
    numbers.header.update(BSCALE=0.5, BZERO=7.0, BLANK=-3)
    car = {"CTYPE1": "RA---CAR", "CTYPE2": "DEC--CAR", "CRVAL2": 0.0, "CDELT1": -36.0, "CDELT2": 10.0}
    sip = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-5, "B_0_2": 1e-5}
    several = [fits.PrimaryHDU(), *(fits.ImageHDU(plane, _header(), name=name) for name in ("W1", "W2"))]
    packed = fits.CompImageHDU(plane, _header(), compression_type="GZIP_2", quantize_level=0, tile_shape=(5, 10))
    rice = fits.CompImageHDU(whole.astype(np.int32), _header(), compression_type="RICE_1")
    return [
        ("plane.fits", _stored(fits.PrimaryHDU(plane, _header(BUNIT="K_CMB", BAND="W1")))),
        ("cube.fits", _stored(fits.PrimaryHDU(np.stack([plane, 2 * plane]), _header(BAND0="W1", BAND1="W2")))),
        ("numbers.fits", _stored(numbers)),
        ("car.fits", _stored(fits.PrimaryHDU(plane, _header(**car)))),
        ("sip.fits", _stored(fits.PrimaryHDU(plane, _header(**sip)))),
        ("several.fits", _stored(fits.HDUList(several))),
        ("packed.fits.fz", _stored(fits.HDUList([fits.PrimaryHDU(), packed]))),
        ("rice.fits.fz", _stored(fits.HDUList([fits.PrimaryHDU(), rice]))),
    ]


def packed_images(folder: pathlib.Path) -> Seeds:
    return [(f"{name}.gz", gzip.compress(content, 1, mtime=0)) for name, content in images(folder)[:3]]


def score_maps(folder: pathlib.Path) -> Seeds:
    plane = np.random.default_rng(1).uniform(size=SHAPE).astype(np.float32)
    wcs = make_wcs(SHAPE, ra_deg=30, dec_deg=5, pixel_scale_arcsec=60)
    write_probability_map(folder / "score.fits", ProbabilityMap(plane, plane, wcs, 64, 8, {"model": "x"}, plane))
    return _read(folder / "score.fits")


def healpix(folder: pathlib.Path) -> Seeds:
    files = [
        write_healpix(folder / "whole.fits"),
        write_healpix(folder / "ring.fits", order="RING", system="C", repeat=4, columns=("W1", "W2")),
        write_healpix(folder / "partial.fits", cells=np.arange(40)),
    ]
    return _read(*files)


def mocs(folder: pathlib.Path) -> Seeds:
    moc = Moc.from_cells([(3, np.arange(5)), (5, np.arange(200, 230))])
    for name in ("moc.fits", "moc.json"):
        write_moc(folder / name, moc, software="x")
    return _read(folder / "moc.fits")


def json_mocs(folder: pathlib.Path) -> Seeds:
    mocs(folder)
    return _read(folder / "moc.json")


def _table() -> Table:
    return Table(
        {
            "name": ["a", "b", "c", "d"], "RAJ2000": [10.0, 20.0, 30.0, 359.9], "DEJ2000": [-5.0, 5.0, 45.0, 89.0],
            "redshift": [0.1, np.nan, 1.2, 0.0], "object_type": ["cluster", "agn", "star", "cluster"],
            "richness": [1, 2, 3, 4],
        }
    )  # fmt: skip


def fits_tables(_: pathlib.Path) -> Seeds:
    hdu = fits.table_to_hdu(_table())
    hdu.header.update(TUNIT2="deg", TUNIT3="degrees", TUNIT6="10^14 Msol", TCOMM6="members")
    return [("table.fits", _stored(fits.HDUList([fits.PrimaryHDU(), hdu])))]


def text_tables(folder: pathlib.Path) -> Seeds:
    text = _table()
    text["RAJ2000"], text["DEJ2000"] = ["01:02:03", "10 20 30", "23h0m0s", "0 0 0"], ["-1:2:3", "5 6 7", "10d", "0 0 0"]
    for name, table, kind in (("a.csv", _table(), "csv"), ("b.csv", text, "csv"), ("c.ecsv", _table(), "ecsv")):
        table.write(folder / name, format=f"ascii.{kind}")
    return _read(*(folder / name for name in ("a.csv", "b.csv", "c.ecsv")))


def votables(_: pathlib.Path) -> Seeds:
    stream = io.BytesIO()
    _table().write(stream, format="votable")
    rows = {"_RAJ2000": np.array([1.0, 2.0]), "_DEJ2000": np.array([1.0, 2.0]), "Name": np.array(["x", "y"])}
    return [("vizier.vot", votable(rows)), ("astropy.xml", stream.getvalue())]


def votes(_: pathlib.Path) -> Seeds:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["classification_id", "user_name", "annotations", "subject_ids", "metadata"])
    for number in range(6):
        tasks = [{"task": q.name, "value": q.answers[number % 2].text} for q in HUNT_FOR_CLUSTERS.questions]
        writer.writerow([number, f"user {number % 3}", json.dumps(tasks), number % 2, "{}"])
    return [("votes.csv", stream.getvalue().encode())]


def configs(_: pathlib.Path) -> Seeds:
    config = ExperimentConfig()
    config.search.images, config.data.bands = ("a.fits",), ("W1", "W2")
    config.model.kwargs = {"widths": [8, 16]}
    other = dataclasses.replace(ExperimentConfig(), name="microwave")
    other.data.builder, other.data.object_fractions = "microwave_cutouts", {"cluster": 0.5, "random": 0.5}
    # Parts alone too, in which a change is the likelier to matter.
    parts = [json.loads(to_json(each)) for each in (config, other)]
    found = [{"seed": 3, "optim": parts[0]["optim"]}, {"model": parts[0]["model"], "training": parts[0]["training"]}]
    found += [{"data": parts[1]["data"]}, {"search": parts[0]["search"]}, {"explain": parts[0]["explain"]}, parts[0]]
    return [(f"{index}.json", json.dumps(part).encode()) for index, part in enumerate(found)]


def overrides(_: pathlib.Path) -> Seeds:
    lines = (
        "--config.seed=3", "--config.optim.learning_rate=1e-3", "--config.data.bands=('W1','W2')",
        "--config.model.kwargs={'widths': (8, 16)}", "--config.training.class_weights={'cluster': 0.5}",
        "--config.data.survey.catalogues=('act_dr5',)", "--config.search.images=('a.fits',)", "--config.name=x",
        "--config.data.subtract_median=False", "--config.explain.filters=(1,2)",
        "--config.evaluation.sky_density_per_deg2={'cluster': 2}", "--config.search.healpix_order=9", "--job=train",
        "--workdir=/tmp/x", "--map=a.fits", "--num_hosts=2", "--samp",
    )  # fmt: skip
    return [(f"{index}.txt", line.encode()) for index, line in enumerate(lines)]


def pictures(_: pathlib.Path) -> Seeds:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    kinds = {"a.png": (pixels, "PNG"), "b.jpg": (pixels, "JPEG"), "c.png": (pixels[..., 0], "PNG")}
    found = []
    for name, (array, kind) in kinds.items():
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, kind)
        found.append((name, stream.getvalue()))
    return found


def kosiba_archives(_: pathlib.Path) -> Seeds:
    from tests.tfds_builders.test_xray_optical_data_set import png, table

    members = {
        "train.csv": table([("1", "point"), ("2", "low-z")]),
        "test.csv": table([("3.png", "other")]),
    }
    members |= {
        f"{folder}/{i}.png": png(i)[0] for folder, i in (("train_images", 1), ("train_images", 2), ("test_images", 3))
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return [("kosiba.zip", stream.getvalue())]


def tars(folder: pathlib.Path) -> Seeds:
    """Not packed, so that the mutations come to what is inside."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for band in (1, 2):
            info = tarfile.TarInfo(f"unwise-0000p000-w{band}-img-m.fits")
            content = images(folder)[0][1]
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return [("cutouts.tar.gz", stream.getvalue())]


def hips(folder: pathlib.Path) -> dict[str, bytes]:
    """All files of one tree, by their path in it."""
    write_hips(folder / "hips", order=0, width=4)
    return {
        str(path.relative_to(folder / "hips")): path.read_bytes()
        for path in sorted((folder / "hips").rglob("*"))
        if path.is_file()
    }


def safetensors(folder: pathlib.Path) -> Seeds:
    from safetensors.numpy import save_file

    save_file({"a.weight": np.ones((3, 4), np.float32), "b": np.arange(3)}, folder / "weights.safetensors")
    return _read(folder / "weights.safetensors")


class _Storage:
    pass


def weights(_: pathlib.Path) -> Seeds:
    """PyTorch's two formats, written without PyTorch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild(*_):
        raise AssertionError("only the name is used")

    rebuild.__module__, rebuild.__qualname__, rebuild.__name__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2 = rebuild
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        return [("zipped.pth", _zipped(torch, rebuild)), ("legacy.pth", _legacy(torch, rebuild))]
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


_NUMBERS = np.arange(12, dtype=np.float32)


def _dump(torch, rebuild, *, legacy: bool) -> bytes:
    class Tensor:
        def __reduce__(self):
            return rebuild, (_Storage(), 0, (3, 4), (4, 1), False, collections.OrderedDict())

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, _Storage):
                return ("storage", torch.FloatStorage, "0", "cpu", 12, *((None,) if legacy else ()))
            return None

    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(collections.OrderedDict({"a.weight": Tensor(), "b.weight": Tensor()}))
    return stream.getvalue()


def _zipped(torch, rebuild) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("name/data.pkl", _dump(torch, rebuild, legacy=False))
        archive.writestr("name/data/0", _NUMBERS.tobytes())
    return stream.getvalue()


def _legacy(torch, rebuild) -> bytes:
    from clusterjax.models.pretrained.read import _MAGIC

    heads = b"".join(pickle.dumps(header, protocol=2) for header in (_MAGIC, 1001, {"little_endian": True}))
    storage = pickle.dumps(["0"], protocol=2) + struct.pack("<q", _NUMBERS.size) + _NUMBERS.tobytes()
    return heads + _dump(torch, rebuild, legacy=True) + storage


def _read(*paths: pathlib.Path) -> Seeds:
    return [(path.name, path.read_bytes()) for path in paths]
