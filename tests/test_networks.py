"""The networks that come along, and packed ones of one's own: the same scores, their card, what is wrong with one."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from untrained import ensemble_of, untrained_networks

from clusterjax import jobs, networks
from clusterjax.classifier import Classifier
from clusterjax.errors import InputError
from clusterjax.experiment import DatasetFacts, Network, load_network
from clusterjax.jobs.choosing import choose_network, map_name
from clusterjax.jobs.packing import pack
from clusterjax.jobs.session import Session
from clusterjax.networks.__main__ import main as show_networks
from clusterjax.parallel import make_mesh
from clusterjax.simulation.infrared.maps import simulate_map
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.sky.fits import read_probability_map, write_sky_map
from clusterjax.training.packed import ABOUT, WEIGHTS, read_about


def pack_to(workdir, network: Network) -> pathlib.Path:
    """As after the jobs evaluate and report."""
    (workdir / "evaluation").mkdir(parents=True)
    calibration = {"made_from": {"checkpoint": network.source}, "for_maps": None}
    (workdir / "evaluation" / "calibration.json").write_text(json.dumps(calibration))
    (workdir / "report").mkdir()
    (workdir / "report" / "model_card.md").write_text("# It is a network")
    pack(Session(network.config, workdir, make_mesh(), network))
    return workdir / "packed"


@pytest.mark.parametrize("num_members", [None, 2])
def test_packed_scores_are_the_networks(num_members, tmp_path):
    members = untrained_networks(num_members or 1)
    network = members[0] if num_members is None else ensemble_of(members)
    folder = pack_to(tmp_path, dataclasses.replace(network, step=7, source="runs/one/checkpoints/7"))
    assert {path.name for path in folder.iterdir()} == {ABOUT, WEIGHTS, "calibration.json", "model_card.md"}
    loaded = Classifier.load(folder)
    assert (loaded.num_members, loaded.network.step) == (num_members or 1, 7)
    images = np.random.default_rng(2).normal(size=(5, 10, 10, 2)).astype(np.float32) * 5
    expected = Classifier(network).predict(images)
    assert np.std(expected) > 0.1
    np.testing.assert_array_equal(loaded.predict(images), expected)
    again = pack_to(tmp_path / "again", network)
    assert (again / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_what_is_wrong_with_a_packed_network_is_said(tmp_path):
    one, other = untrained_networks(2)
    folder = pack_to(tmp_path / "a", one)
    weights = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(weights[:-100])
    with pytest.raises(InputError, match=r"weights\.npz is not the file that network\.json tells of"):
        load_network(folder, make_mesh())
    (folder / WEIGHTS).write_bytes((pack_to(tmp_path / "b", other) / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match=r"weights\.npz is not the file that network\.json tells of"):
        load_network(folder, make_mesh())
    (folder / WEIGHTS).write_bytes(weights)
    about = read_about(folder)
    (folder / ABOUT).write_text(json.dumps(about | {"num_members": 2}))
    with pytest.raises(InputError, match="holds the weights of another network"):
        load_network(folder, make_mesh())
    (folder / ABOUT).write_text(json.dumps({"config": {}}))
    with pytest.raises(InputError, match=r"network\.json has no facts, sha256"):
        load_network(folder, make_mesh())
    (folder / ABOUT).write_text("{")
    with pytest.raises(InputError, match=r"network\.json cannot be read"):
        load_network(folder, make_mesh())


def test_nothing_is_packed_without_its_figures(tmp_path):
    network = dataclasses.replace(untrained_networks(1)[0], source="runs/one/checkpoints/7")
    session = Session(network.config, tmp_path, make_mesh(), network)
    with pytest.raises(InputError, match="has no evaluation and report to pack; run --job=evaluate, then --job=report"):
        pack(session)
    pack_to(tmp_path / "other", network)
    session = Session(network.config, tmp_path / "other", make_mesh(), dataclasses.replace(network, source="runs/two"))
    with pytest.raises(InputError, match="is of runs/one/checkpoints/7, not of runs/two"):
        pack(session)


@pytest.mark.parametrize("name", networks.NAMES)
def test_those_that_come_along(name, capsys):
    """Small, evaluated, better than chance; with the config that the repository has."""
    folder = networks.find_network(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 900_000
    classifier = Classifier.load(name)
    assert classifier.class_names == ("other", "cluster")
    assert classifier.network.config.name == {"infrared": "search_ir_small", "microwave": "search_mw_small"}[name]
    show_networks([name])
    card = capsys.readouterr().out
    assert "AUC" in card
    assert {"infrared": "aperture count", "microwave": "matched filter"}[name] in card
    show_networks([])
    assert f"{name} " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        show_networks(["optical"])


@pytest.fixture(scope="module")
def infrared_map(tmp_path_factory):
    """(path, what it holds): a small map of the simulated sky, crowded with clusters."""
    sky, _ = simulate_map(InfraredSky(), seed=5, shape=(320, 320), ra_deg=30.0, dec_deg=5.0, cluster_boost=150.0)
    path = tmp_path_factory.mktemp("sky") / "field.fits"
    write_sky_map(path, sky)
    return path, sky


def test_a_map_is_enough(infrared_map, tmp_path, monkeypatch, capsys):
    """``scan map.fits``: the network is chosen by the map; probabilities are high on a crowd of clusters, else low."""
    path, _ = infrared_map
    monkeypatch.chdir(tmp_path)
    jobs.run("scan", None, images=(str(path),))
    said = capsys.readouterr().err
    assert "the network is infrared, by the map's bands (W1, W2) and unit (nMgy (Vega))" in said
    assert "scanning by dense evaluation" in said
    assert "no calibration" not in said
    probability = read_probability_map(tmp_path / "runs" / "field" / "scan" / "probability.fits")
    assert np.nanmedian(probability.score) > 0.9
    sky, _ = simulate_map(InfraredSky(), seed=6, shape=(320, 320), ra_deg=30.0, dec_deg=5.0, cluster_boost=1.0)
    assert np.nanmedian(Classifier.load("infrared").scan(sky).score) < 0.5
    assert (tmp_path / "runs" / "field" / "scan" / "candidates.fits").exists()


def test_the_network_is_chosen_by_bands_or_unit(infrared_map, tmp_path):
    _, sky = infrared_map
    for bands, units, chosen in ((("x", "y"), "nMgy (Vega)", "infrared"), (("W2", "W1"), "", "infrared")):
        write_sky_map(tmp_path / "map.fits", dataclasses.replace(sky, bands=bands, units=units))
        assert choose_network((str(tmp_path / "map.fits"),)).name == chosen
    facts = DatasetFacts.from_dict(read_about(networks.find_network("microwave"))["facts"])
    data = np.random.default_rng(0).normal(size=(40, 40, 3)).astype(np.float32)
    three = dataclasses.replace(
        sky, data=data, valid=np.ones((40, 40), bool), bands=facts.preprocess.statistics.bands, units=""
    )
    write_sky_map(tmp_path / "map.fits", three)
    assert choose_network((str(tmp_path / "map.fits"),)).name == "microwave"
    write_sky_map(tmp_path / "map.fits", dataclasses.replace(three, bands=("a", "b", "c"), units="MJy/sr"))
    with pytest.raises(InputError, match=r"no network is known for the bands a, b, c in MJy/sr \(infrared: W1, W2 in"):
        choose_network((str(tmp_path / "map.fits"),))
    with pytest.raises(InputError, match="there is no map to scan"):
        choose_network(())
    names = {"a/field.fits": "field", "field.fits.fz[W1]": "field", "tiles/": "tiles", "m.v2.fits.gz": "m.v2"}
    assert {given: map_name((given,)) for given in names} == names


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(networks.find_network("microwave"), tmp_path / "infrared")
    assert load_network("infrared", make_mesh()).config.name == "search_mw_small"
