"""kill -9 at random moments of build, train and scan: does the same command always go on to the same bits?

python benchmarks/kills.py --kills 50 --seed 0 [--jobs build train scan]

Each job is done once undisturbed. Then it is killed at moments drawn uniformly over its length, and started again in
what the kill left, until so many kills are done, in a new folder whenever it comes to its end. After every kill each
file with its final name must be whole, and no process be left; each end must equal the undisturbed one bit for bit
(but for dates and durations). Prints the tally, and exits with 1 for any failure. Each start is a fork of a process
that has imported all it needs, so that the kills fall into the work, not into Python's start.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import re
import signal
import sys
import tempfile
import time
import zipfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a fork takes no threads along

import numpy as np
import tensorflow_datasets  # noqa: F401 - before the forks
from absl import flags
from astropy.io import fits
from PIL import Image
from tqdm import tqdm

import clusterjax.main  # noqa: F401
import tfds_builders.ir_cutouts.ir_cutouts_dataset_builder  # noqa: F401
from clusterjax import jobs
from clusterjax.config import (
    DataConfig,
    ExperimentConfig,
    LrRangeConfig,
    ModelConfig,
    OptimConfig,
    SearchConfig,
    TrainingConfig,
)
from clusterjax.training.checkpoint import Checkpoints

JOBS = ("build", "train", "scan")
_LEFT_S = 5.0  # within which worker processes must have followed their parent
# What may differ: when it was done, and how long it took
_DATES = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?")
_DURATIONS = re.compile(rb'"(seconds|images_per_second)": [\d.e+-]+')


def make_config(folder: pathlib.Path) -> ExperimentConfig:
    """So small that a job takes seconds, but with several files and several steps of everything."""
    return ExperimentConfig(
        name="kills",
        data=DataConfig(
            data_dir=str(folder / "datasets"), num_train=1200, num_validation=64, num_test=64, num_processes=2
        ),
        model=ModelConfig("baseline", {"widths": (8, 16), "head_kwargs": {"dropout": 0.1}}),
        optim=OptimConfig(learning_rate=3e-3),
        lr_range=LrRangeConfig(num_steps=10),
        training=TrainingConfig(
            num_epochs=4, global_batch_size=64, eval_batch_size=32, early_stop_patience=None,
            checkpoint_every_steps=3, log_every_steps=2,
        ),
        search=SearchConfig(
            images=(str(folder / "map.fits"),), stride=16, batch_size=64, threshold=0.5, method="windows",
            outputs=("healpix", "hips", "moc"), healpix_order=12,
        ),
    )  # fmt: skip


def write_map(path: pathlib.Path) -> None:
    """Noise, of five pieces."""
    header = fits.Header(
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 5.0, "CRPIX1": 2000.0, "CRPIX2": 100.0}
    )
    header.update(CDELT1=-2.75 / 3600, CDELT2=2.75 / 3600)
    fits.PrimaryHDU(np.random.default_rng(0).normal(size=(2, 200, 4400)).astype(np.float32), header).writeto(path)


def do(job: str, config: ExperimentConfig, workdir: pathlib.Path, checkpoint: pathlib.Path | None) -> None:
    """In a process of its own: the job, its output into a log beside the workdir."""
    os.setsid()  # a session of its own, by which its workers are found
    log = os.open(workdir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    jobs.run(job, config, workdir=workdir, checkpoint=checkpoint)


def digest(job: str, config: ExperimentConfig, workdir: pathlib.Path) -> dict[str, str]:
    """Name -> SHA-256 of what the job is for."""
    if job == "train":
        with Checkpoints(workdir / "checkpoints") as checkpoints:
            state = checkpoints.restore_as_saved(checkpoints.latest_step, ("params", "model_state", "opt_state"))
        import jax

        parts = {jax.tree_util.keystr(name): leaf for name, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}
        found = {name: np.asarray(leaf).tobytes() for name, leaf in parts.items()}
        found["metrics.jsonl"] = (workdir / "metrics.jsonl").read_bytes()
        found["step"] = str(checkpoints.latest_step).encode()
    else:
        folder = pathlib.Path(config.data.data_dir) if job == "build" else workdir / "scan"
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock"]
        found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    plain = {name: _DURATIONS.sub(b"", _DATES.sub(b"", content)) for name, content in found.items()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in plain.items()}


def half_written(folder: pathlib.Path) -> list[str]:
    """Files with a final name that cannot be read."""
    found = []
    for path in sorted(folder.rglob("*")):
        unfinished = any(part.startswith((".", "incomplete.")) or "tmp" in part for part in path.parts[1:])
        if path.is_file() and not unfinished and not _is_whole(path):
            found.append(str(path))
    return found


def _is_whole(path: pathlib.Path) -> bool:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":  # a log: its last line may be cut short, and is then left out
            [json.loads(line) for line in path.read_text().splitlines()[:-1]]
        elif path.suffix == ".fits":
            with fits.open(io.BytesIO(path.read_bytes())) as hdus:
                hdus.verify("exception")
                [hdu.data for hdu in hdus]
            return path.stat().st_size % 2880 == 0
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                dict(arrays)
        elif path.suffix == ".png":
            Image.open(path).load()
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return False
    return True


@dataclasses.dataclass
class Tally:
    kills: int = 0
    ends: int = 0
    different: list[str] = dataclasses.field(default_factory=list)
    half_written: list[str] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    processes_left: int = 0

    @property
    def is_clean(self) -> bool:
        return not (self.different or self.half_written or self.failed or self.processes_left)


class Trial:
    """One job in a folder of its own, started again and again."""

    def __init__(self, job: str, folder: pathlib.Path, checkpoint: pathlib.Path | None):
        self.job, self.folder, self.checkpoint = job, folder, checkpoint

    def at(self, name: str) -> tuple[ExperimentConfig, pathlib.Path]:
        """(config, workdir) of one course of the job; a build is into a folder of its own."""
        config = make_config(self.folder.parent)
        if self.job == "build":
            config.data.data_dir = str(self.folder / name / "datasets")
        return config, self.folder / name  # beside each other: the compilation cache is shared

    def start(self, name: str) -> multiprocessing.Process:
        config, workdir = self.at(name)
        workdir.parent.mkdir(parents=True, exist_ok=True)
        process = multiprocessing.get_context("fork").Process(
            target=do, args=(self.job, config, workdir, self.checkpoint)
        )
        process.start()
        return process

    def digest(self, name: str) -> dict[str, str]:
        config, workdir = self.at(name)
        with multiprocessing.get_context("fork").Pool(1) as pool:  # jax, once at work here, could not be forked
            return pool.apply(digest, (self.job, config, workdir))


def processes_of_session(session: int) -> list[int]:
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def left_after(session: int) -> int:
    """Of the processes of a killed one, those that have not followed it."""
    deadline = time.monotonic() + _LEFT_S
    while processes_of_session(session) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = processes_of_session(session)
    for process in left:
        os.kill(process, signal.SIGKILL)
    return len(left)


def tally_kills(trial: Trial, kills: int, rng: np.random.Generator) -> Tally:
    tally = Tally()
    started = time.monotonic()
    process = trial.start("undisturbed")
    process.join()
    if process.exitcode:
        raise SystemExit(f"{trial.job} fails undisturbed; see {trial.folder}/undisturbed.log")
    length, expected = time.monotonic() - started, trial.digest("undisturbed")
    with tqdm(total=kills, desc=trial.job, unit=" kills") as bar:
        while tally.kills < kills:
            name = f"course_{tally.ends + len(tally.failed)}"
            while True:
                process = trial.start(name)
                process.join(float(rng.uniform(0, length)) if tally.kills < kills else None)
                if process.exitcode is not None:
                    break
                process.kill()
                process.join()
                tally.kills += 1
                bar.update()
                tally.processes_left += left_after(process.pid)
                tally.half_written += half_written(trial.folder / name)
            if process.exitcode:
                tally.failed.append(f"{trial.folder}/{name}.log")
                continue
            tally.ends += 1
            found = trial.digest(name)
            names = sorted(set(found) | set(expected))
            tally.different += [f"{name}: {part}" for part in names if found.get(part) != expected.get(part)]
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of each job")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--folder", type=pathlib.Path, help="kept; default: a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_map(folder / "map.fits")
        rng = np.random.default_rng(args.seed)
        checkpoint = None
        if "scan" in args.jobs:
            trial = Trial("train", folder / "for_scan", None)
            process = trial.start("network")
            process.join()
            checkpoint = trial.at("network")[1]
        tallies = {}
        for job in args.jobs:
            trial = Trial(job, folder / job, checkpoint if job == "scan" else None)
            tallies[job] = tally_kills(trial, args.kills, rng)
    print(f"{'job':8} {'kills':>6} {'ends':>6} {'different':>10} {'half-written':>13} {'failed':>7} {'left':>5}")
    for job, tally in tallies.items():
        counts = len(tally.different), len(tally.half_written), len(tally.failed), tally.processes_left
        print(f"{job:8} {tally.kills:6} {tally.ends:6} {counts[0]:10} {counts[1]:13} {counts[2]:7} {counts[3]:5}")
        for what in (*tally.different, *tally.half_written, *tally.failed):
            print(f"  {what}")
    sys.exit(not all(tally.is_clean for tally in tallies.values()))


if __name__ == "__main__":
    main()
