"""Data sets of the sky itself: the service's pixels around the right objects, once fetched and never again."""

import functools
import pathlib

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from clusterjax.config import DataConfig, ExperimentConfig, SurveyConfig
from clusterjax.config_checks import validate
from clusterjax.data.sources import open_source
from clusterjax.errors import InputError
from clusterjax.sky.cutouts import extract_cutouts
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.geometry import make_wcs
from clusterjax.sky.open_map import open_map
from clusterjax.sky.regions import split_of_block
from clusterjax.sky.skymap import SkyMap
from clusterjax.sky.surveys.images import SERVICES, read_cutout
from tests.local_server import Answer, LocalServer
from tests.survey_sky import hips2fits, patch_of_sky, respond, survey_mirrors
from tfds_builders.ir_cutouts.ir_cutouts_dataset_builder import make_builder as make_infrared
from tfds_builders.microwave_cutouts.microwave_cutouts_dataset_builder import make_builder as make_microwave
from tfds_builders.sky_features import REDSHIFT_KINDS

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # array_record leaves its files to the collector

SIZE = 12
CLUSTERS = patch_of_sky(160, 0, z=0.3, MSZ=5.0)
TABLES = {
    "J/A+A/594/A27/psz2": CLUSTERS,
    # The same clusters for a quarter, 20 arcsec off, with better redshifts; and some of its own.
    "J/A+A/688/A187": {
        "_RAJ2000": np.append(CLUSTERS["_RAJ2000"][:40], patch_of_sky(20, 1)["_RAJ2000"]),
        "_DEJ2000": np.append(CLUSTERS["_DEJ2000"][:40] + 20 / 3600, patch_of_sky(20, 1)["_DEJ2000"]),
        "MCXC": np.array([f"X{i}" for i in range(60)]),
        "z": np.full(60, 0.31),
    },
    "J/ApJS/240/33/table3": patch_of_sky(60, 2, Photz=1.0),
    # As many stars 3 arcmin beside a cluster as elsewhere.
    "I/259/tyc2": {
        name: np.concatenate([patch_of_sky(160, 3)[name], CLUSTERS[name] + (3 / 60 if name == "_DEJ2000" else 0)])
        for name in ("_RAJ2000", "_DEJ2000")
    },
    "VII/294/catalog": patch_of_sky(300, 4),
}
SURVEY = {
    "service": "hips_unwise",
    "catalogues": ("psz2", "mcxc2"),
    "negatives": ("tycho2", "milliquas"),
    "held_out": ("madcows",),
    "max_objects": 60,
    "attempts": 1,
}


@pytest.fixture(scope="module")
def server():
    with LocalServer(functools.partial(respond, tables=TABLES)) as running:
        yield running


@pytest.fixture(autouse=True)
def well(server):
    """The server is well again, and has forgotten."""
    server.respond = functools.partial(respond, tables=TABLES)
    server.asked.clear()


def make_in(folder, server, *, binary=True, builder=make_infrared, build=True, data=None, **changes):
    here = {"cache_dir": str(folder / "cache"), "mirrors": survey_mirrors(server.url)}
    settings = {"simulated_size": SIZE, "data_dir": str(folder / "data"), **(data or {})}
    made = builder(DataConfig(survey=SurveyConfig(**{**SURVEY, **here, **changes}), binary=binary, **settings), None)
    if build:
        made.download_and_prepare()
    return made


@pytest.fixture
def make(server, tmp_path):
    return functools.partial(make_in, tmp_path, server)


@pytest.fixture(scope="module")
def built(server, tmp_path_factory):
    return make_in(tmp_path_factory.mktemp("survey"), server)


def records(builder, split):
    source = open_source(builder, split)
    return [source[i] for i in range(len(source))]


def where(rows):
    return SkyCoord([row["ra_deg"] for row in rows], [row["dec_deg"] for row in rows], unit="deg")


def of_table(*names):
    positions = [(TABLES[name]["_RAJ2000"], TABLES[name]["_DEJ2000"]) for name in names]
    return SkyCoord(*(np.concatenate(values) for values in zip(*positions, strict=True)), unit="deg")


def test_a_survey_data_set(built):
    builder = built
    assert builder.info.full_name.startswith("ir_cutouts/survey-")
    metadata = builder.info.metadata
    assert (metadata["bands"], metadata["units"], metadata["pixel_scale_arcsec"]) == (["W1", "W2"], "nMgy (Vega)", 2.75)
    assert metadata["service"] == "hips_unwise"
    assert set(metadata["band_statistics"]) == set(metadata["band_statistics_median_subtracted"])
    assert abs(metadata["leak_check"]["auc"] - 0.5) < 4 * metadata["leak_check"]["error"]
    splits = {split: records(builder, split) for split in builder.info.splits}
    assert set(splits) == {"train", "validation", "test", "test_madcows"}
    names = builder.info.features["object_type"].names
    assert names == ["cluster", "agn", "random", "star"]
    types = {split: [names[row["object_type"]] for row in rows] for split, rows in splits.items()}
    counts = {
        name: sum(kinds.count(name) for split, kinds in types.items() if split != "test_madcows") for name in names
    }
    assert 50 <= counts["cluster"] <= 60  # a few would reach into another split
    assert counts["random"] == pytest.approx(counts["cluster"], abs=12)
    assert counts["star"] == pytest.approx(15, abs=5)
    assert counts["agn"] == pytest.approx(15, abs=5)
    trained = of_table("J/A+A/594/A27/psz2", "J/A+A/688/A187")
    known = of_table("J/A+A/594/A27/psz2", "J/A+A/688/A187", "J/ApJS/240/33/table3")
    objects = {"star": of_table("I/259/tyc2"), "agn": of_table("VII/294/catalog"), "cluster": trained}
    for split, rows in splits.items():
        kinds = np.array(types[split])
        for name in set(kinds):
            here = where([row for row, kind in zip(rows, kinds, strict=True) if kind == name])
            if name != "cluster":
                assert here.match_to_catalog_sky(known)[1].arcmin.min() > 10.0
            if name != "random":
                own = of_table("J/ApJS/240/33/table3") if split == "test_madcows" else objects[name]
                assert here.match_to_catalog_sky(own)[1].arcsec.max() < 1e-3
        for row, kind in zip(rows, kinds, strict=True):
            assert row["label"] == (kind == "cluster")


def test_pixels_are_those_of_the_service(built, tmp_path):
    rows = records(built, "test")
    for row in rows[:5]:
        paths = [tmp_path / f"w{band}.fits" for band in (1, 2)]
        query = {"width": str(SIZE), "fov": f"{SIZE * 2.75 / 3600:.9f}"}
        query |= {"ra": f"{row['ra_deg']:.7f}", "dec": f"{row['dec_deg']:.7f}"}
        for path in paths:
            path.write_bytes(hips2fits({**query, "hips": f"CDS/P/unWISE/{path.stem.upper()}"}))
        truth, _ = read_cutout(SERVICES["hips_unwise"], paths, float(row["ra_deg"]), float(row["dec_deg"]), SIZE)
        np.testing.assert_array_equal(row["image"], truth)


def test_splits_share_no_sky_and_provenance_is_kept(built):
    builder = built
    splits = {split: where(records(builder, split)) for split in ("train", "validation", "test", "test_madcows")}
    for split in ("validation", "test", "test_madcows"):
        apart = splits[split].match_to_catalog_sky(splits["train"])[1]
        assert apart.arcsec.min() > SIZE * 2.75 * np.sqrt(2)
    for split in splits:
        blocks = np.array([row["sky_block"] for row in records(builder, split)])
        assert set(split_of_block(blocks)) == {split.removesuffix("_madcows")}
    table = Table.read(f"{builder.data_dir}/objects.ecsv")
    both = table[[len(text.split("; ")) == 2 for text in np.ma.filled(table["catalogues"], "")]]
    assert set(both["catalogues"]) == {"psz2; mcxc2"}
    assert set(both["redshift_kind"]) == {"spec"}
    train = {row["object_id"]: row for row in records(builder, "train")}
    for row in both[np.asarray(both["split"]) == "train"]:
        assert train[row["object_id"]]["redshift"] == pytest.approx(0.31)  # MCXC's is spectroscopic
        assert train[row["object_id"]]["redshift_kind"] == REDSHIFT_KINDS.index("spec")
        assert train[row["object_id"]]["m500c_msun"] == pytest.approx(5e14)  # PSZ2's is the only mass
        psz2, mcxc = row["names"].split("; ")
        assert psz2 == f"0-{mcxc[1:]}"


def test_a_class_for_each_type_and_another_wavelength(make):
    builder = make(binary=False, builder=make_microwave, service="hips_act", held_out=(), max_objects=40)
    assert builder.info.full_name.startswith("microwave_cutouts/survey-")
    assert builder.info.features["label"].names == ["cluster", "agn", "random", "star"]
    assert builder.info.features["image"].shape == (SIZE, SIZE, 3)
    rows = records(builder, "train")
    assert all(row["label"] == row["object_type"] for row in rows)
    assert {row["label"] for row in rows} == {0, 1, 2, 3}


def test_nothing_is_fetched_twice(built, server, tmp_path):
    """Not for the same data set elsewhere, which offline mode proves too; nor for another of the same catalogues."""
    folder = pathlib.Path(built.builder_config.survey.cache_dir).parent
    assert make_in(folder, server).info.full_name == built.info.full_name
    again = make_in(folder, server, data={"data_dir": str(tmp_path)}, offline=True)
    for split in built.info.splits:
        one, other = records(built, split), records(again, split)
        assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(one, other, strict=True))
    assert make_in(folder, server, max_objects=50, build=False).info.full_name != built.info.full_name
    assert not server.asked


def test_an_interrupted_build_goes_on_without_refetching(make, server, tmp_path):
    dead = []

    def dies(asked):
        if len(server.asked) > 100:
            dead.append(True)
        return Answer(status=503) if dead else respond(asked, TABLES)

    server.respond = dies
    with pytest.raises(InputError, match=r"status 503 .* the same command goes on from there"):
        make()
    assert not list((tmp_path / "data" / "ir_cutouts").glob("survey-*/*/dataset_info.json"))
    assert not list((tmp_path / "data" / "ir_cutouts").rglob("incomplete*"))
    had = len((tmp_path / "cache" / "manifest.jsonl").read_text().splitlines())
    assert had > 60
    server.respond = functools.partial(respond, tables=TABLES)
    server.asked.clear()
    builder = make()
    total = len(Table.read(f"{builder.data_dir}/objects.ecsv")) * 2 + 5  # two bands; five catalogues
    assert len(server.asked) == total - had


def test_what_a_service_does_not_have_is_left_out_and_said(make, server):
    refused = []

    def partly(asked):
        if "hips" in asked.path and float(asked.query["ra"]) > 48:
            refused.append(asked)
            return Answer(status=404)
        return respond(asked, TABLES)

    server.respond = partly
    builder = make(held_out=(), max_objects=50)
    assert refused
    planned = Table.read(f"{builder.data_dir}/objects.ecsv")
    gone = {split: int(np.sum(planned["ra_deg"][planned["split"] == split] > 48)) for split in ("train", "test")}
    assert {split: builder.info.metadata["left_out"][split] for split in gone} == gone
    assert sum(gone.values()) > 3
    assert len(records(builder, "train")) == np.sum(planned["split"] == "train") - gone["train"]
    server.respond = lambda asked: Answer(status=404) if "hips" in asked.path else respond(asked, TABLES)
    with pytest.raises(InputError, match=r"\d+ of \d+ cutouts cannot be had from hips_unwise; the first: .* 404"):
        make(max_objects=59)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"service": "hips_act"},
            "service='hips_act' is unknown here; use one of hips_unwise, unwise_me",
        ),
        ({"catalogues": ("act_dr9",)}, "catalogue 'act_dr9' is unknown; use a file, or one of act_dr5"),
        ({"catalogues": ()}, "catalogues is empty; give at least one"),
        ({"catalogues": ("tycho2",)}, "tycho2 has no clusters; config.data.survey.negatives is for other objects"),
        ({"negatives": ("mcxc2",)}, "mcxc2 has clusters, or no type: write TYPE=FILE"),
        ({"catalogues": ("spt_sz",)}, "holds no table: No catalog or table was specified"),
        ({"max_objects": 3}, r"in the sky blocks of the \w+ split; both are needed. Give larger catalogues"),
        ({"offline": True}, r"is not in the cache .* no server is asked with config\.data\.survey\.offline=True"),
        ({"mirrors": ("https://=http://127.0.0.1:9/",)}, r"no connection .* is there a network\?"),
        ({"data": {"simulated_size": 6000}}, "simulated_size=6000 is more than the 5000 pixels that hips_unwise sends"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(make, changes, message):
    with pytest.raises(InputError, match=message) as error:
        make(**changes)
    assert "\n" not in str(error.value)


def test_the_config_says_where_a_survey_belongs():
    config = ExperimentConfig()
    config.data.survey.service = "hips_unwise"
    validate(config)
    assert config.sky is None
    config.data.survey.mirrors = ("alasky.cds.unistra.fr=alaskybis.cds.unistra.fr",)
    with pytest.raises(InputError, match=r"mirrors has 'alasky.*'; write https://ONE\.ORG=https://OTHER\.ORG"):
        validate(config)
    config.data.survey.mirrors = ()
    config.data.builder = "map_cutouts"
    with pytest.raises(InputError, match=r"service='hips_unwise' goes with config\.data\.builder='ir_cutouts' or"):
        validate(config)


def write_maps(folder, bands=("a", "b")):
    """Two maps of the patch of sky where the catalogues lie, side by side, a file a band."""
    names = []
    for number, ra_deg in enumerate((42.0, 50.0)):
        shape = (900, 400)
        wcs = make_wcs(shape, ra_deg=ra_deg, dec_deg=0.0, pixel_scale_arcsec=60.0)
        data = np.random.default_rng(number).normal(size=(*shape, len(bands))).astype(np.float32)
        data[300:330] = np.nan
        files = [folder / f"map{number}_{band}.fits" for band in bands]
        for index, file in enumerate(files):
            one = data[..., index : index + 1]
            write_sky_map(file, SkyMap(one, wcs, np.isfinite(one[..., 0]), (bands[index],), "uK"))
        names.append("+".join(map(str, files)))
    return names


@pytest.mark.parametrize("builder", [make_infrared, make_microwave])
def test_published_catalogues_on_maps_of_ones_own(make, server, tmp_path, builder):
    """Only catalogues are asked for; all lies on the maps, and is theirs."""
    names = write_maps(tmp_path)
    data = {"maps": tuple(names), "block_nside": 64, "num_processes": 1}
    changes = {"service": "local_maps", "max_objects": None}
    built = make(builder=builder, data=data, **changes)
    assert not any("hips" in asked.path for asked in server.asked)
    assert built.info.full_name.startswith(f"{built.name}/survey-")
    assert built.info.metadata["maps"] == names
    assert set(built.info.splits) == {"train", "validation", "test", "test_madcows"}
    skies = [open_map(name.split("+")) for name in names]
    planned = Table.read(f"{built.data_dir}/objects.ecsv")
    types, kinds = built.info.features["object_type"].names, set()
    known = of_table("J/A+A/594/A27/psz2", "J/A+A/688/A187", "J/ApJS/240/33/table3")
    for split in built.info.splits:
        for row in records(built, split):
            number = planned["map"][planned["object_id"] == row["object_id"]][0]
            truth, valid = extract_cutouts(skies[number], row["ra_deg"], row["dec_deg"], SIZE)
            np.testing.assert_array_equal(row["image"], truth[0])
            assert valid[0] >= 0.9
            kind = types[row["object_type"]]
            kinds.add(kind)
            if kind != "cluster":
                assert where([row]).match_to_catalog_sky(known)[1].arcmin[0] > 10.0
    assert kinds == {"cluster", "agn", "random", "star"}
    assert abs(built.info.metadata["leak_check"]["auc"] - 0.5) < 4 * built.info.metadata["leak_check"]["error"]
    assert make(builder=builder, data=data, offline=True, **changes).info.full_name == built.info.full_name
    with pytest.raises(InputError, match=r"service='local_maps' needs config\.data\.maps, the maps to cut from"):
        make(builder=builder, service="local_maps")


def test_maps_without_a_cluster_are_refused(make, tmp_path):
    wcs = make_wcs((64, 64), ra_deg=200.0, dec_deg=50.0, pixel_scale_arcsec=60.0)
    data = np.random.default_rng(0).normal(size=(64, 64, 1)).astype(np.float32)
    write_sky_map(tmp_path / "far.fits", SkyMap(data, wcs, np.ones((64, 64), bool), ("a",)))
    with pytest.raises(InputError, match=r"no cluster of psz2, mcxc2 lies on a valid pixel of config\.data\.maps"):
        make(service="local_maps", data={"maps": (str(tmp_path / "far.fits"),)})
