"""The job pack: a trained network as a few small files, that Python and scans take by the folder's path."""

import shutil

from clusterjax import __version__
from clusterjax.errors import InputError
from clusterjax.jobs.calibrating import FILE as CALIBRATION
from clusterjax.jobs.session import Session, read_json
from clusterjax.training.packed import ABOUT, WEIGHTS, write_packed

MODEL_CARD = "model_card.md"


def pack(session: Session) -> None:
    """Write ``packed/`` into the workdir: the weights, what is needed to use them, the calibration and the model card.

    Raises InputError where the workdir was not evaluated, or has no report: who gets the network must know how good it
    is.
    """
    network = session.trained_network()
    calibration, card = session.workdir / "evaluation" / CALIBRATION, session.workdir / "report" / MODEL_CARD
    if not calibration.exists() or not card.exists():
        raise InputError(
            f"{session.workdir} has no evaluation and report to pack; run --job=evaluate, then --job=report"
        )
    evaluated = read_json(calibration)["made_from"]["checkpoint"]
    if evaluated != network.source:
        raise InputError(
            f"{calibration} is of {evaluated}, not of {network.source}; run --job=evaluate, then --job=report"
        )
    folder = session.folder("packed")
    (folder / ABOUT).unlink(missing_ok=True)  # which makes it a network: the last to come
    for path in (calibration, card):
        shutil.copyfile(path, folder / path.name)
    about = {
        **network.about(), "step": network.step, "num_members": network.num_members,
        "software": f"clusterjax {__version__}",
    }  # fmt: skip
    write_packed(folder, {"params": network.state.params, "model_state": network.state.model_state}, about)
    size = sum((folder / name).stat().st_size for name in (ABOUT, WEIGHTS))
    print(f"packed     {folder} ({size / 1e3:.0f} kB)", flush=True)
