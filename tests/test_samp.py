"""Results sent over a real hub, in this process, to a client that keeps what it is told."""

import pathlib
import queue
import urllib.parse

import numpy as np
import pytest
from astropy.table import Table
from pyvo.samp import SAMPHubServer, SAMPIntegratedClient, conf

from clusterjax.config import ExperimentConfig
from clusterjax.errors import InputError
from clusterjax.jobs.sending import send
from clusterjax.jobs.session import Session
from clusterjax.parallel import make_mesh
from clusterjax.sky.moc import Moc, write_moc
from clusterjax.sky.votable import read_votable, write_votable


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "my run" / "scan"  # a name that a URL has to escape
    folder.mkdir(parents=True)
    write_votable(folder / "candidates.vot", Table({"ra_deg": [1.0], "dec_deg": [2.0]}))
    write_moc(folder / "footprint.fits", Moc.from_cells([(3, np.array([5]))]), software="test")
    return Session(ExperimentConfig(), tmp_path / "my run", make_mesh())


@pytest.fixture
def hub(tmp_path, monkeypatch):
    lockfile = tmp_path / "hub.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lockfile.as_uri()}")
    with conf.set_temp("use_internet", False):
        hub = SAMPHubServer(web_profile=False, lockfile=str(lockfile), mode="single", pool_size=4, addr="127.0.0.1")
        hub.start()
        yield hub
        hub.stop()


def test_a_viewer_is_told_of_the_table_and_the_footprint(hub, session, capsys):
    viewer = SAMPIntegratedClient(name="viewer", addr="127.0.0.1")
    viewer.connect(pool_size=4)
    told = queue.Queue()

    def receive(private_key, sender_id, message, parameters, extra):
        told.put((message, parameters))

    viewer.bind_receive_notification("table.load.votable", receive)
    try:
        assert send(session) == {"candidates.vot": ["viewer"], "footprint.fits": []}
        message, parameters = told.get(timeout=20)
    finally:
        viewer.disconnect()
    assert told.empty()
    assert message == "table.load.votable"
    assert parameters["name"] == "clusterjax candidates of my run"
    path = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(parameters["url"]).path))
    assert read_votable(path)["dec_deg"].tolist() == [2.0]
    said = capsys.readouterr().err
    assert "sent candidates.vot to viewer" in said
    assert "sent footprint.fits to nobody: no viewer takes it" in said


def test_no_hub_and_nothing_to_send(session, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'none.lock').as_uri()}")
    with pytest.raises(InputError, match="no SAMP hub runs; start TOPCAT"):
        send(session)
    with pytest.raises(InputError, match="nothing to send"):
        send(Session(ExperimentConfig(), tmp_path / "empty", make_mesh()))
