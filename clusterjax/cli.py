"""The command ``clusterjax JOB ...``: ``python -m clusterjax.main --job=JOB ...`` in fewer words, with help.

``models``, ``pretrained`` and ``kosiba2020`` run the modules of that name.
"""

import difflib
import runpy
import sys
from collections.abc import Sequence

from clusterjax import __version__

MODULES = {
    "models": "clusterjax.models",
    "pretrained": "clusterjax.models.pretrained",
    "kosiba2020": "clusterjax.kosiba2020",
}
# Of each command: what it does, then examples.
COMMANDS = {
    "all": (
        "Data set, learning rate, training, evaluation, explanations, scan and report; what is done is skipped.",
        "clusterjax all --config=configs/alexnet_ir.py",
        "clusterjax all --config=configs/alexnet_ir.py:smoke --workdir=runs/try",
    ),
    "build": ("The data set of a config, and its data card.", "clusterjax build --config=configs/alexnet_ir.py"),
    "lr_range_test": (
        "Finds the learning rate that training then uses.",
        "clusterjax lr_range_test --config=configs/alexnet_ir.py",
    ),
    "train": (
        "Trains; stopped, the same command goes on.",
        "clusterjax train --config=configs/networks_ir.py:resnet18",
        "clusterjax train --config=configs/alexnet_ir.py --config.training.num_members=5 --workdir=runs/ensemble",
    ),
    "evaluate": (
        "Scores and probabilities of every cutout, and all figures.",
        "clusterjax evaluate --config=configs/alexnet_ir.py",
        "clusterjax evaluate --checkpoint=runs/alexnet_ir --workdir=runs/again",
    ),
    "explain": ("What the network looks at.", "clusterjax explain --config=configs/alexnet_ir.py"),
    "scan": (
        "A map into a probability map and a table of candidates.",
        "clusterjax scan --checkpoint=runs/alexnet_ir --workdir=runs/my_map --map=w1.fits --map=w2.fits",
        "clusterjax scan --checkpoint=runs/alexnet_ir --workdir=runs/my_map --map=map.fits --catalogue=psz2=FILE",
    ),
    "report": ("The run on one page, report/index.html.", "clusterjax report --config=configs/alexnet_ir.py"),
    "export": (
        "The network as one file that needs jax alone.",
        "clusterjax export --checkpoint=runs/alexnet_ir --workdir=runs/alexnet_ir",
    ),
    "cross_validate": (
        "Folds of whole sky blocks.",
        "clusterjax cross_validate --config=configs/alexnet_ir.py --config.training.num_folds=5",
    ),
    "vet": (
        "Joins people's verdicts on a scan's candidates: FILE FILE ... that its vetting page exported.",
        "clusterjax vet --workdir=runs/my_map anna.csv ben.csv",
        "clusterjax vet --workdir=runs/my_map anna.csv ben.csv --catalogue=known.fits",
        "clusterjax vet --config=configs/search_ir.py --config.vetting.method=dawid_skene anna.csv ben.csv",
    ),
    "compare": ("Finished runs side by side.", "clusterjax compare runs/alexnet_ir runs/baseline_ir"),
    "models": ("Lists the networks.", "clusterjax models", "clusterjax models resnet18 vit_b16"),
    "pretrained": (
        "Published weights into a checkpoint: MODEL WEIGHTS OUTPUT.",
        "clusterjax pretrained resnet18 resnet18.pth runs/resnet18_weights",
    ),
    "kosiba2020": (
        "All tables of Kosiba et al. (2020) on simulated data.",
        "clusterjax kosiba2020 --workdir=runs/kosiba2020 --smoke",
    ),
}
_OPTIONS = """Options:
  --config=FILE.py[:VARIANT]  the experiment; the shipped ones are in configs/
  --config.x.y=VALUE          another value of a field of clusterjax/config.py
  --workdir=FOLDER            where results go (runs/NAME)
  --checkpoint=PATH           a trained network: a workdir, or a checkpoint (evaluate, explain, scan, export)
  --map=FILE                  a map with all bands, or one a band, repeated (scan)
  --catalogue=[NAME=]FILE     known objects to match with, repeated (scan), or to train on too (vet)
  --samp                      then send the results to TOPCAT, Aladin or DS9
  --distributed               join the other hosts first
  --helpfull                  every option there is
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with 2 after one line for a mistake."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command, *rest = arguments or ["--help"]
    if command in ("--help", "-h", "-help", "help"):
        print(help_text())
        return
    if command == "--version":
        print(f"clusterjax {__version__}")
        return
    if command.startswith("-"):
        _fail(f"a command comes before the options, as in: clusterjax all {command}")
    if command not in COMMANDS:
        nearest = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0)[0]
        _fail(f"clusterjax has no command {command!r}; did you mean {nearest}? clusterjax --help lists them")
    if any(argument in ("--help", "-h", "-help") for argument in rest):
        print(help_of(command))
        return
    if command in MODULES:
        sys.argv = [f"clusterjax {command}", *rest]
        runpy.run_module(MODULES[command], run_name="__main__", alter_sys=True)
        return
    if any(argument.lstrip("-").partition("=")[0] == "job" for argument in rest):
        _fail(f"the job is {command}; leave out --job")
    from clusterjax.main import start  # only now: it takes a second

    start(["clusterjax", f"--job={command}", *rest])


def help_text() -> str:
    """A screenful about all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {about}" for name, (about, *_) in COMMANDS.items()]
    return "\n".join(
        [
            "clusterjax finds clusters of galaxies in sky surveys.",
            "",
            "usage: clusterjax COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "Begin with one minute on a simulated sky, then look at what clusterjax all --help says:",
            "  " + "clusterjax all --config=configs/alexnet_ir.py:smoke",
        ]
    )


def help_of(command: str) -> str:
    """A screenful about one command, with examples."""
    about, *examples = COMMANDS[command]
    options = [] if command in MODULES else ["", _OPTIONS.rstrip()]
    return "\n".join([about, "", "Examples:", *(f"  {example}" for example in examples), *options])


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
