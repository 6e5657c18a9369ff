"""The results of a scan, sent to the viewers that run: TOPCAT, Aladin, DS9 (IVOA SAMP 1.3)."""

import contextlib
import pathlib
from collections.abc import Iterator

from clusterjax import __version__
from clusterjax.errors import InputError
from clusterjax.jobs.session import Session, say

# (file of the scan's folder, message, the parameter that identifies what is sent)
_MESSAGES = (
    ("candidates.vot", "table.load.votable", "table-id"),
    ("score.fits", "image.load.fits", "image-id"),
    ("footprint.fits", "coverage.load.moc.fits", "coverage-id"),
)


def send(session: Session) -> dict[str, list[str]]:
    """Send candidates, score map and footprint of the workdir's scan to all that take them; returns the receivers'
    names by file.

    Raises InputError where there is no scan, no hub runs, or the package for it is not installed.
    """
    folder = session.workdir / "scan"
    files = {name: folder / name for name, _, _ in _MESSAGES if (folder / name).exists()}
    if not files:
        raise InputError(f"there is nothing to send in {folder}; run --job=scan first")
    sent: dict[str, list[str]] = {}
    with _connected() as client:
        for name, message, identifier in _MESSAGES:
            if name not in files:
                continue
            receivers = client.get_subscribed_clients(message)
            call = {"samp.mtype": message, "samp.params": _parameters(files[name], identifier)}
            for receiver in receivers:
                client.notify(receiver, call)
            sent[name] = [client.get_metadata(receiver).get("samp.name", receiver) for receiver in receivers]
            say(f"sent {name} to {', '.join(sent[name]) or 'nobody: no viewer takes it'}")
    return sent


def _parameters(path: pathlib.Path, identifier: str) -> dict[str, str]:
    path = path.resolve()
    return {
        "url": path.as_uri(),
        identifier: f"clusterjax:{path}",
        "name": f"clusterjax {path.stem} of {path.parts[-3]}",
    }


@contextlib.contextmanager
def _connected() -> Iterator:
    try:
        from pyvo.samp import SAMPHubError, SAMPIntegratedClient, conf
    except ImportError as error:
        raise InputError("--samp needs the package pyvo: install clusterjax with its extra samp") from error
    metadata = {"samp.name": "clusterjax", "samp.description.text": "Finds galaxy clusters in sky surveys",
                "author.version": __version__}  # fmt: skip
    client = SAMPIntegratedClient(metadata=metadata, callable=False)
    try:
        with conf.set_temp("use_internet", False):  # or it asks a server far away for this machine's name
            client.connect()
    except (SAMPHubError, OSError) as error:
        raise InputError("no SAMP hub runs; start TOPCAT, Aladin or DS9, then give the same command again") from error
    try:
        yield client
    finally:
        client.disconnect()
