"""Every setup of Kosiba et al. (2020), some seeds of each, on the simulated data; then their tables beside ours.

    python -m clusterjax.kosiba2020 --workdir=runs/kosiba2020 [--seeds=10] [--small | --smoke] [--only=cn_experts,...]

For a GPU: a seed of the custom network takes 153 000 steps. With ``--small`` pictures have 64 px and two cores need
minutes a seed; with ``--smoke`` every room is gone through once in minutes, and its figures mean nothing. Stopped, the
same command goes on where it was; more ``--seeds`` are added to those that are there. ``--only`` names the setups to
train now: the page is written when all are there.
"""

import argparse
import pathlib
import signal
import sys

import jax

from clusterjax.errors import InputError
from clusterjax.jobs import run
from clusterjax.jobs.session import open_workdir, say
from clusterjax.kosiba2020.page import FOLDS, write_page
from clusterjax.kosiba2020.setups import BINARY, EXPERTS, FIVE_CLASSES
from clusterjax.large_pages import use_large_pages
from clusterjax.training.interruption import Interrupted

_JOBS = {
    **{setup.folder: (setup, ("train", "evaluate")) for setup in (*BINARY, *FIVE_CLASSES)},
    EXPERTS.folder: (EXPERTS, ("train", "evaluate", "explain")),
    FOLDS: (EXPERTS, ("cross_validate",)),
}


def main(arguments: list[str] | None = None) -> None:
    """Raises :class:`InputError` for whatever the user can mend."""
    parser = argparse.ArgumentParser(prog="clusterjax.kosiba2020", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path, default=pathlib.Path("runs/kosiba2020"))
    parser.add_argument("--data_dir", default="runs/datasets")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", help=f"some of {', '.join(_JOBS)}, joined by commas")
    scales = parser.add_mutually_exclusive_group()
    scales.add_argument("--small", dest="scale", action="store_const", const="small", default="published")
    scales.add_argument("--smoke", dest="scale", action="store_const", const="smoke")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        raise InputError(f"--seeds={options.seeds} must be 1 or more")
    wanted = options.only.split(",") if options.only else list(_JOBS)
    unknown = sorted(set(wanted) - set(_JOBS))
    if unknown:
        raise InputError(f"--only has {', '.join(unknown)}; use {', '.join(_JOBS)}")
    num_seeds = 1 if options.scale == "smoke" else options.seeds
    open_workdir(options.workdir)
    for number, name in enumerate(wanted, start=1):
        say(f"{number} of {len(wanted)}: {name}")
        setup, jobs = _JOBS[name]
        config = setup.config(options.scale, num_seeds=num_seeds, data_dir=options.data_dir)
        for job in jobs:
            run(job, config, workdir=options.workdir / name)
        jax.clear_caches()  # the programs of one setup are of no use to the next
    missing = [name for name in _JOBS if not _is_there(options.workdir / name)]
    if missing:
        say(f"no page yet: {', '.join(missing)} are not trained")
        return
    page = write_page(options.workdir, options.scale, num_seeds=num_seeds, data_dir=options.data_dir)
    say(f"tables: {page}")


def _is_there(run_folder: pathlib.Path) -> bool:
    made = ("evaluation/predictions_test.fits", "cross_validation/folds.fits")
    return any((run_folder / path).exists() for path in made)


if __name__ == "__main__":
    use_large_pages()
    signal.signal(signal.SIGTERM, lambda signum, _frame: sys.exit(128 + signum))
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt):
        print("\ninterrupted; the same command goes on from there", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
