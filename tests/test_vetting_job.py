"""The job vet, and the way from a scan over people's verdicts to a network that is trained on them."""

import dataclasses
import json

import numpy as np
import pytest
from astropy.table import Table

from clusterjax.config import VettingConfig, from_json, to_json
from clusterjax.data.sources import open_source
from clusterjax.data.votes.verdicts import table_hash
from clusterjax.errors import InputError
from clusterjax.experiment import load_network, make_builder
from clusterjax.jobs import run, vet
from clusterjax.parallel import make_mesh
from clusterjax.search.match import match_detections
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.simulation.skies import simulation_of
from clusterjax.sky.catalogues import read_table, write_table
from clusterjax.sky.fits import write_sky_map
from clusterjax.sky.merging import is_near

HOSTILE = "=1 <img src=x onerror=alert(1)>"


def write_verdicts(path, candidates, said, *, voter, comments=None):
    """As the page exports them; ``said`` has a word for each candidate, empty for none."""
    digest = table_hash(*(candidates[name] for name in ("detection_id", "ra_deg", "dec_deg")))
    lines = ["voter,table,candidate,verdict,comment"]
    for number, word, comment in zip(candidates["detection_id"], said, comments or [""] * len(candidates), strict=True):
        if word or comment:
            lines.append(f'"{voter}","{digest}",{number},"{word}","{comment}"')
    path.write_text("\r\n".join(lines) + "\r\n", "utf-8")
    return path


@pytest.fixture
def scanned(tmp_path):
    """A workdir with 40 candidates, a degree apart; every second is a cluster in truth."""
    row = np.arange(40)
    candidates = Table(
        {"name": [f"CJX J{i:04d}" for i in row], "detection_id": row + 1, "ra_deg": 10.0 + row, "dec_deg": -row / 2.0}
    )
    candidates["redshift"] = np.where(row % 4 == 0, 0.3, np.nan)
    (tmp_path / "run" / "scan").mkdir(parents=True)
    write_table(tmp_path / "run" / "scan" / "candidates", candidates)
    return tmp_path / "run", candidates, row % 2 == 0


def words(is_cluster):
    return np.where(is_cluster, "cluster", "not").tolist()


def three_voters(folder, candidates, truth):
    """Two who know, and one who calls everything a cluster; all unsure of the last two."""
    says = {"Anna": words(truth), "Zoë": words(truth), HOSTILE: ["cluster"] * 40}
    files = []
    for number, (voter, said) in enumerate(says.items()):
        said[-2:] = ["unsure", "unsure"]
        comments = [HOSTILE, *[""] * 39] if voter == "Zoë" else None
        files.append(write_verdicts(folder / f"{number}.csv", candidates, said, voter=voter, comments=comments))
    return files


def test_verdicts_are_joined(scanned, tmp_path, capsys):
    workdir, candidates, truth = scanned
    vet(three_voters(tmp_path, candidates, truth), workdir, VettingConfig(confident=0.75))
    verdicts = read_table(workdir / "vetting" / "verdicts.ecsv")
    np.testing.assert_array_equal(verdicts["detection_id"], candidates["detection_id"])
    assert verdicts["num_votes"].tolist() == [3] * 38 + [0, 0]
    assert verdicts["num_unsure"].tolist() == [0] * 38 + [3, 3]
    # Of 38 votes the third's agree with the majority in 19: it weighs half.
    expected = np.where(truth, 1.0, 0.5 / 2.5)[:38]
    np.testing.assert_allclose(verdicts["probability_weighted"][:38], expected)
    np.testing.assert_allclose(np.asarray(verdicts["agreement"][:38]), np.where(truth, 1, 2 / 3)[:38])
    assert np.ma.filled(verdicts["verdict"], "").tolist() == [*words(truth)[:38], "", ""]
    assert ((verdicts["probability_dawid_skene"][:38] > 0.9) == truth[:38]).all()
    assert verdicts["votes"][1] == f"Anna: not; Zoë: not; {HOSTILE}: cluster"
    assert verdicts["comments"][0] == f"Zoë: {HOSTILE}"
    voters = read_table(workdir / "vetting" / "voters.ecsv")
    assert voters["voter"].tolist() == ["Anna", "Zoë", HOSTILE]
    np.testing.assert_allclose(voters["weight"], [1, 1, 0.5])
    assert voters["others_called_so"][0] > 0.95
    assert voters["others_called_so"][2] < 0.05
    pairs = read_table(workdir / "vetting" / "pairs.ecsv")
    np.testing.assert_allclose(np.asarray(pairs["agreement"], float), [1, 21 / 40, 21 / 40])
    assert read_table(workdir / "vetting" / "verdicts.fits")["comments"][0].startswith("Zo?:")
    page = (workdir / "vetting" / "agreement" / "index.html").read_text("utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "kappa of all is" in page
    assert "3 voters on 38 of 40 candidates: 19 clusters, 19 not, 2 without an answer" in capsys.readouterr().err


def test_who_decides_and_how_many(scanned, tmp_path):
    """Where the majority is biased against faint clusters, Dawid and Skene believe the one who finds them."""
    workdir, candidates, truth = scanned
    rng = np.random.default_rng(0)
    files = []
    for number in range(5):
        finds = truth & (rng.random(40) < (1.0 if number == 0 else 0.45))
        files.append(write_verdicts(tmp_path / f"{number}.csv", candidates, words(finds), voter=f"v{number}"))
    right = {}
    for method in ("weighted", "dawid_skene"):
        vet(files, workdir, VettingConfig(method=method, confident=0.6))
        verdict = np.ma.filled(read_table(workdir / "vetting" / "verdicts.ecsv")["verdict"], "")
        right[method] = np.mean((verdict == "cluster") == truth)
    assert right["dawid_skene"] > right["weighted"]
    vet(files, workdir, VettingConfig(min_votes=6))
    assert set(read_table(workdir / "vetting" / "labelled.fits")["object_type"]) == {"avoided"}


def test_known_objects_join_the_examples(scanned, tmp_path):
    """Those that are candidates are there once."""
    workdir, candidates, truth = scanned
    known = Table({"name": ["a", "b"], "ra": [200.0, 10.01], "dec": [5.0, 0.0], "z": [0.7, 0.2], "M500c": [3e14, 1e14]})
    known.rename_column("M500c", "m500c_msun")
    known.write(tmp_path / "known.ecsv")
    file = write_verdicts(tmp_path / "a.csv", candidates, words(truth), voter="Anna")
    vet([file], workdir, VettingConfig(), (f"{tmp_path}/known.ecsv",))
    labelled = read_table(workdir / "vetting" / "labelled.fits")
    assert labelled["object_type"].tolist() == [*np.where(truth, "cluster", "rejected"), "cluster"]
    assert labelled["ra_deg"][-1] == 200
    assert labelled["m500c_msun"][-1] == 3e14
    np.testing.assert_allclose(labelled["redshift"][:5], [0.3, np.nan, np.nan, np.nan, 0.3])


def test_mistakes_are_one_line(scanned, tmp_path, run_program):
    workdir, candidates, truth = scanned
    file = write_verdicts(tmp_path / "a.csv", candidates, words(truth), voter="Anna")
    with pytest.raises(InputError, match=r"there are no candidates in .*none; give the --workdir of a scan"):
        vet([file], tmp_path / "none", VettingConfig())
    moved = candidates.copy()
    moved["ra_deg"] += 1.0
    other = write_verdicts(tmp_path / "b.csv", moved, words(truth), voter="Ben")
    for files, message in (
        ([file, other], r"b\.csv, line 2 is of the candidates 'sha256:"),
        ([file, file], "are both by 'Anna'"),
    ):
        with pytest.raises(InputError, match=message):
            vet(files, workdir, VettingConfig())
    result = run_program("--job=vet", f"--workdir={workdir}")
    assert result.returncode == 2
    assert result.stderr == f"error: give the verdicts, as in --job=vet --workdir={workdir} anna.csv ben.csv\n"
    assert not (workdir / "vetting").exists()


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """(a map on disk, its clusters): half a square degree of simulated sky."""
    sky, truth = simulation_of(InfraredSky()).simulate_map(
        InfraredSky(), seed=5, shape=(900, 900), ra_deg=40.0, dec_deg=1.0, cluster_boost=30.0
    )
    path = tmp_path_factory.mktemp("field") / "field.fits"
    write_sky_map(path, sky)
    return path, truth[np.asarray(truth["m500c_msun"]) > 1e14]


def check_page(path, candidates):
    """All candidates with all their pictures, and the saliency of the best."""
    data = json.loads(path.read_text("utf-8").partition('id="data">')[2].partition("</script>")[0])
    assert data["ids"] == candidates["detection_id"].tolist()
    assert [one["name"] for one in data["pictures"]] == ["colour", "W1", "W2", "score", "saliency"]
    assert [all(row[:4]) for row in data["images"]] == [True] * len(candidates)
    assert [row[4] is not None for row in data["images"]] == [i < 60 for i in range(len(candidates))]
    assert {flag["name"] for flag in data["flags"]} == {"edge", "masked", "saturated", "blended"}


@pytest.mark.slow
def test_scan_vet_train_again(finished_run, field, tmp_path):
    """The way that README shows: verdicts on one network's candidates train the next one on the same map."""
    first, _ = finished_run
    path, clusters = field
    mesh = make_mesh()
    config = load_network(first / "checkpoints", mesh).config
    config.search = dataclasses.replace(config.search, threshold=0.2, stride=8, min_separation_arcmin=1.0)
    config.vetting.saliency = "grad_cam"
    workdir = tmp_path / "my_map"
    run("scan", config, checkpoint=first, workdir=workdir, images=(str(path),))
    candidates = read_table(workdir / "scan" / "candidates.fits")
    check_page(workdir / "vetting" / "index.html", candidates)
    truth = np.asarray(match_detections(candidates, clusters, radius_arcmin=1.5).detections["source_index"]) >= 0
    assert 10 < truth.sum() < len(candidates) - 10
    rng = np.random.default_rng(0)
    files = []
    for number in range(3):  # people who err one time in twenty, and do not look at all
        said = np.where(rng.random(len(truth)) < 0.15, "", words(truth ^ (rng.random(len(truth)) < 0.05)))
        files.append(write_verdicts(tmp_path / f"{number}.csv", candidates, said.tolist(), voter=f"v{number}"))
    vet(files, workdir, VettingConfig(method="dawid_skene"))
    labelled = read_table(workdir / "vetting" / "labelled.fits")
    answered = np.asarray(labelled["object_type"]) != "avoided"
    assert np.mean((np.asarray(labelled["object_type"]) == "cluster")[answered] == truth[answered]) > 0.95

    again = from_json(to_json(config))
    again.name = "again"
    again.data = dataclasses.replace(
        again.data, builder="map_cutouts", maps=(str(path),), catalogue=str(workdir / "vetting" / "labelled.fits"),
        data_dir=str(tmp_path / "data"), block_nside=256, exclusion_arcmin=1.5, num_processes=1,
    )  # fmt: skip
    again.model.pretrained, again.model.pretrained_head = str(first / "checkpoints"), True
    again.optim.learning_rate, again.training.num_epochs = 1e-3, 1
    again.training.global_batch_size = again.training.eval_batch_size = 16
    run("train", again, workdir=tmp_path / "again")
    run("evaluate", again, workdir=tmp_path / "again")
    builder = make_builder(again)
    assert set(builder.info.features["object_type"].names) == {"cluster", "rejected", "random"}
    examples = [open_source(builder, split)[i] for split in builder.info.splits
                for i in range(builder.info.splits[split].num_examples)]  # fmt: skip
    table = Table({name: [one[name] for one in examples] for name in ("ra_deg", "dec_deg", "label", "object_type")})
    empty = table["object_type"] == builder.info.features["object_type"].str2int("random")
    assert is_near(table[~empty], labelled[answered], 1e-3).all()
    assert not is_near(table[empty], labelled, 1.5).any()  # of the avoided either
    predictions = read_table(tmp_path / "again" / "evaluation" / "predictions_test.fits")
    assert np.isfinite(predictions["score"]).all()
    assert {0, 1} == set(np.asarray(predictions["label"]))
