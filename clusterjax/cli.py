"""The command ``clusterjax JOB ...``: ``python -m clusterjax.main --job=JOB ...`` in fewer words, with help.

``clusterjax JOB NAME`` is ``--config=NAME``, and ``clusterjax scan MAP`` is ``--map=MAP``. Some commands run a module.
"""

import difflib
import runpy
import sys
from collections.abc import Sequence

from clusterjax import __version__
from clusterjax.large_pages import use_large_pages

MODULES = {
    "models": "clusterjax.models",
    "pretrained": "clusterjax.models.pretrained",
    "kosiba2020": "clusterjax.kosiba2020",
    "configs": "clusterjax.config_files",
    "networks": "clusterjax.networks",
    "completion": "clusterjax.completion",
}
TAKE_PATHS = ("compare", "fuse", "inject", "merge", "scan", "vet")  # runs, maps, verdicts; the others an experiment
# Of each command: what it does, then examples.
COMMANDS = {
    "all": (
        "Data set, learning rate, training, evaluation, explanations, scan and report; what is done is skipped.",
        "clusterjax all alexnet_ir",
        "clusterjax all alexnet_ir:smoke --workdir=runs/try",
        "clusterjax all --config=my_config.py --config.training.num_epochs=12",
    ),
    "build": ("The data set of a config, and its data card.", "clusterjax build alexnet_ir"),
    "lr_range_test": (
        "Finds the learning rate that training then uses.",
        "clusterjax lr_range_test alexnet_ir",
    ),
    "train": (
        "Trains; stopped, the same command goes on.",
        "clusterjax train networks_ir:resnet18",
        "clusterjax train alexnet_ir --config.training.num_members=5 --workdir=runs/ensemble",
    ),
    "evaluate": (
        "Scores and probabilities of every cutout, and all figures.",
        "clusterjax evaluate alexnet_ir",
        "clusterjax evaluate --checkpoint=runs/alexnet_ir --workdir=runs/again",
    ),
    "explain": ("What the network looks at.", "clusterjax explain alexnet_ir"),
    "scan": (
        "A map into a probability map and a table of candidates.",
        "clusterjax scan map.fits",
        "clusterjax scan f098.fits f150.fits f220.fits --network=microwave --catalogue=psz2=FILE",
        "clusterjax scan w1.fits w2.fits --checkpoint=runs/alexnet_ir --workdir=runs/my_map",
    ),
    "inject": (
        "The selection function: simulated clusters put into the scanned map, which is scanned again.",
        "clusterjax inject --checkpoint=runs/alexnet_ir --workdir=runs/alexnet_ir",
        "clusterjax inject --checkpoint=runs/search_mw --workdir=runs/my_map --map=map.fits",
    ),
    "report": ("The run on one page, report/index.html.", "clusterjax report alexnet_ir"),
    "export": (
        "The network as files that need no clusterjax: StableHLO and ONNX.",
        "clusterjax export --checkpoint=runs/alexnet_ir --workdir=runs/alexnet_ir",
    ),
    "pack": (
        "The network as a few small files that scan and Python take: packed/, with its model card.",
        "clusterjax pack --checkpoint=runs/search_ir --workdir=runs/search_ir",
    ),
    "cross_validate": (
        "Folds of whole sky blocks.",
        "clusterjax cross_validate alexnet_ir --config.training.num_folds=5",
    ),
    "vet": (
        "Joins people's verdicts on a scan's candidates: FILE FILE ... that its vetting page exported.",
        "clusterjax vet --workdir=runs/my_map anna.csv ben.csv",
        "clusterjax vet --workdir=runs/my_map anna.csv ben.csv --catalogue=known.fits",
        "clusterjax vet --config=configs/search_ir.py --config.vetting.method=dawid_skene anna.csv ben.csv",
    ),
    "compare": ("Finished runs side by side.", "clusterjax compare runs/alexnet_ir runs/baseline_ir"),
    "fuse": (
        "Scores of two runs, of the same cutouts, as one.",
        "clusterjax fuse runs/fusion/infrared runs/fusion/microwave",
    ),
    "merge": (
        "Candidates of two scans of one sky, in other bands or by other networks, each once.",
        "clusterjax merge runs/alexnet_ir runs/alexnet_mw",
    ),
    "models": ("Lists the networks.", "clusterjax models", "clusterjax models resnet18 vit_b16"),
    "pretrained": (
        "Published weights into a checkpoint: MODEL WEIGHTS OUTPUT.",
        "clusterjax pretrained resnet18 resnet18.pth runs/resnet18_weights",
    ),
    "kosiba2020": (
        "All tables of Kosiba et al. (2020) on simulated data.",
        "clusterjax kosiba2020 --workdir=runs/kosiba2020 --smoke",
    ),
    "configs": (
        "Lists the shipped configs; with a name, prints that file, to be changed.",
        "clusterjax configs",
        "clusterjax configs search_ir > my_search.py",
    ),
    "networks": (
        "Lists the trained networks that come along; with a name, prints its model card.",
        "clusterjax networks",
        "clusterjax networks infrared",
    ),
    "completion": (
        "A script that completes commands, options and names in bash, zsh or fish.",
        "clusterjax completion bash >> ~/.bashrc",
        "clusterjax completion fish > ~/.config/fish/completions/clusterjax.fish",
    ),
}
_OPTIONS = """Options:
  --config=NAME[:VARIANT]     the experiment: one that clusterjax configs lists, or a file; the first argument too
  --config.x.y=VALUE          another value of a field of clusterjax/config.py
  --workdir=FOLDER            where results go (runs/NAME)
  --checkpoint=PATH           a trained network: a workdir, or a checkpoint (evaluate, explain, scan, inject,
                              export, pack)
  --network=NAME              one that clusterjax networks lists (likewise); without, scan chooses by the map's bands
  --map=FILE                  a map with all bands, or one a band, repeated (scan, inject); plain arguments too
  --catalogue=[NAME=]FILE     known objects to match with, repeated (scan, inject), or to train on too (vet)
  --samp                      then send the results to TOPCAT, Aladin or DS9
  --distributed               join the other hosts first
  --helpfull                  every option there is
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with 2 after one line for a mistake."""
    is_program = arguments is None
    arguments = list(sys.argv[1:] if is_program else arguments)
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
    if is_program:
        use_large_pages()
    if command in MODULES:
        sys.argv = [f"clusterjax {command}", *rest]
        runpy.run_module(MODULES[command], run_name="__main__", alter_sys=True)
        return
    if any(argument.lstrip("-").partition("=")[0] == "job" for argument in rest):
        _fail(f"the job is {command}; leave out --job")
    if command not in TAKE_PATHS and rest and not rest[0].startswith("-"):
        rest[0] = f"--config={rest[0]}"
    from clusterjax.main import start  # only now: it takes a second

    start(["clusterjax", f"--job={command}", *rest])


def help_text() -> str:
    """A screenful about all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {about}" for name, (about, *_) in COMMANDS.items()]
    return "\n".join(
        [
            "clusterjax finds clusters of galaxies in sky surveys.",
            "usage: clusterjax COMMAND [OPTIONS]",
            "",
            *lines,
            "",
            "Begin with one minute on a simulated sky:",
            "  clusterjax all alexnet_ir:smoke     # the whole way, to runs/alexnet_ir_smoke/report/index.html",
            "  clusterjax scan map.fits            # then a map of your own, with a network that comes along",
            "What the commands take: clusterjax COMMAND --help",
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
