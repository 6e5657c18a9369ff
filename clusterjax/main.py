"""The program: ``python -m clusterjax.main --config=configs/alexnet_ir.py``."""

import ast
import logging
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from clusterjax import networks, remote
from clusterjax.config_files import find_config
from clusterjax.ending import fail, run_to_the_end
from clusterjax.errors import InputError
from clusterjax.large_pages import use_large_pages

JOBS = (
    "all", "build", "lr_range_test", "train", "evaluate", "explain", "scan", "report", "inject", "export",
    "pack", "cross_validate", "vet", "compare", "fuse", "merge",
)  # fmt: skip

# Jobs of several finished runs, and where their results go
_OF_RUNS = {"compare": "runs/comparison", "fuse": "runs/fused", "merge": "runs/merged"}


class _DictParser(flags.ArgumentParser):
    """A Python dict, as in ``--config.model.kwargs="{'padding': 'VALID'}"``."""

    syntactic_help = "a dict in Python's notation"

    def parse(self, argument):
        if isinstance(argument, dict):
            return argument
        try:
            value = ast.literal_eval(argument)
        except (SyntaxError, ValueError):
            value = None
        if not isinstance(value, dict):
            raise ValueError("use a dict, as in \"{'cluster': 0.5}\"")
        return value


for _dict_type in (dict[str, float], dict[str, Any]):
    config_flags.register_flag_parser_for_type(_dict_type, _DictParser())

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Experiment: a file of configs/, with :variant after it. --config.x.y=z overrides a field."
)
_JOB = flags.DEFINE_enum(
    "job", "all", JOBS,
    "What to do; all does the others but the last eight in turn and skips what is done. "
    "vet FILE FILE ...: verdicts on a scan's candidates. compare RUN RUN ...: of finished runs; "
    "fuse RUN RUN ...: one of their scores, on the same cutouts; merge RUN RUN ...: one of their scans' candidates.",
)  # fmt: skip
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results go. Default: runs/<the config's name>.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "For evaluate, explain, scan, inject, export and pack: a workdir, its checkpoints folder, one step's folder, or a "
    "folder that pack wrote.",
)
_NETWORK = flags.DEFINE_enum(
    "network", None, networks.NAMES, "Instead of --checkpoint, a network that clusterjax brings along."
)
_MAP = flags.DEFINE_multi_string(
    "map",
    None,
    "For scan and inject: a map (FITS, HEALPix, HiPS, folder of tiles) with all bands, or one a band (repeat it); "
    "what comes without an option's name is a map too.",
)
_CATALOGUE = flags.DEFINE_multi_string(
    "catalogue",
    None,
    "For scan and inject: a table of known objects to match candidates with, FILE or NAME=FILE (repeat it). "
    "For vet: known objects to train on too.",
)
_SAMP = flags.DEFINE_bool("samp", False, "After all: send the scan's results to TOPCAT, Aladin or DS9, where one runs.")
_PROFILE = flags.DEFINE_bool(
    "profile", False, "While training: a trace of a few steps in the workdir's profile/, for xprof and Perfetto."
)
_DISTRIBUTED = flags.DEFINE_bool("distributed", False, "Join the other hosts of a pod slice or cluster first.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator", None, "With --distributed, where jax finds no hosts: host 0's HOST:PORT."
)
_NUM_HOSTS = flags.DEFINE_integer("num_hosts", None, "With --coordinator: how many hosts there are.")
_HOST_INDEX = flags.DEFINE_integer("host_index", None, "With --coordinator: which of them this is, from 0.")
_HOSTS_TIMEOUT = flags.DEFINE_integer("hosts_timeout_s", 300, "With --distributed: how long hosts wait for each other.")
_SIGTERM_STATUS = flags.DEFINE_integer(
    "sigterm_status",
    None,
    "Exit status after SIGTERM, which saves: 0, or what $CLUSTERJAX_SIGTERM_STATUS says. Another for launchers that "
    "start again only what has failed.",
)

_WITH_CHECKPOINT = ("evaluate", "explain", "scan", "inject", "export", "pack")
_ONE_OF_THEM = f"{', '.join(_WITH_CHECKPOINT[:-1])} or {_WITH_CHECKPOINT[-1]}"
_WITH_MAPS = ("scan", "inject")


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1 and _JOB.value not in ("vet", *_OF_RUNS, *_WITH_MAPS):
        raise InputError(f"unexpected arguments {list(argv[1:])}; options start with --")
    # XLA prints the machine's features at each start otherwise.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    absl_logging.set_verbosity(absl_logging.WARNING)
    # Reading a corrupt checkpoint leaves failed reads behind, each of which asyncio and Orbax log with a traceback.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    absl_logging.get_absl_handler().addFilter(lambda record: "orbax" not in record.pathname)
    sys.unraisablehook = _leave_out_late_reads
    if _CHECKPOINT.value is not None and _NETWORK.value is not None:
        raise InputError("--checkpoint and --network both name a network; give one of them")
    checkpoint = _NETWORK.value if _CHECKPOINT.value is None else _CHECKPOINT.value
    if checkpoint is not None and _JOB.value not in _WITH_CHECKPOINT:
        raise InputError(f"--checkpoint goes with --job={_ONE_OF_THEM}, not --job={_JOB.value}")
    images = (*argv[1:], *(_MAP.value or ())) if _JOB.value in _WITH_MAPS else tuple(_MAP.value or ())
    if _CONFIG.value is not None:
        from clusterjax.config import SweepConfig
        from clusterjax.config_checks import validate

        experiments = _CONFIG.value.resolve() if isinstance(_CONFIG.value, SweepConfig) else {"": _CONFIG.value}
        for experiment in experiments.values():
            validate(experiment)
    from clusterjax import hosts, jobs  # import jax: only now, so that --help and a mistake in the config are quick

    if _DISTRIBUTED.value:
        from clusterjax import joining, parallel, watching

        joining.initialise_distributed(
            _COORDINATOR.value, _NUM_HOSTS.value, _HOST_INDEX.value, timeout_s=_HOSTS_TIMEOUT.value
        )
        watching.start()
        parallel.connect()
    elif any(value is not None for value in (_COORDINATOR.value, _NUM_HOSTS.value, _HOST_INDEX.value)):
        raise InputError("--coordinator, --num_hosts and --host_index need --distributed")
    if _JOB.value in _OF_RUNS:
        workdir = _OF_RUNS[_JOB.value] if _WORKDIR.value is None else _WORKDIR.value
        of_runs = {"compare": jobs.compare, "fuse": jobs.fuse, "merge": jobs.merge}[_JOB.value]
        hosts.on_first_host(lambda: of_runs([pathlib.Path(folder) for folder in argv[1:]], pathlib.Path(workdir)))
        return
    if _JOB.value == "vet":
        hosts.on_first_host(lambda: _vet(argv[1:]))
        return
    config = _CONFIG.value
    _check_remote(config)
    if config is None and checkpoint is None and not images:
        raise InputError(
            f"give --config=configs/NAME.py, or --checkpoint=PATH with --job={_ONE_OF_THEM}, or a map to scan"
        )
    if config is not None and hasattr(config, "experiments"):
        if checkpoint or images or _CATALOGUE.value:
            raise InputError("a sweep takes no --checkpoint, --map or --catalogue; its experiments have their own")
        workdir = pathlib.Path("runs") / config.name if _WORKDIR.value is None else remote.local_path(_WORKDIR.value)
        with remote.sent_meanwhile():
            jobs.sweep(_JOB.value, config.resolve(), workdir, fused=config.fused)
        return
    workdir, checkpoint = (None if path is None else remote.local_path(path) for path in (_WORKDIR.value, checkpoint))
    images = tuple(str(remote.local_path(path)) for path in images)
    with remote.sent_meanwhile():
        jobs.run(
            _JOB.value,
            config,
            workdir=workdir,
            checkpoint=checkpoint,
            images=images,
            catalogue=tuple(_CATALOGUE.value or ()),
            samp=_SAMP.value,
            profile=_PROFILE.value,
        )


def _check_remote(config) -> None:
    """Several hosts need one folder that all of them see."""
    from clusterjax import hosts

    data = getattr(getattr(config, "data", None), "data_dir", None)
    for path in (_WORKDIR.value, data):
        if path is not None and remote.is_remote(path) and hosts.num_hosts() > 1:
            raise InputError(
                f"{path}: gs:// is for one host; several need a folder that all of them see, such as an NFS share, or "
                "the bucket mounted by gcsfuse"
            )


def _vet(files: Sequence[str]) -> None:
    from clusterjax import jobs
    from clusterjax.config import VettingConfig

    config = _CONFIG.value
    if _WORKDIR.value is None and not hasattr(config, "vetting"):
        raise InputError("give the scan's --workdir, or its --config=configs/NAME.py")
    workdir = pathlib.Path("runs") / config.name if _WORKDIR.value is None else pathlib.Path(_WORKDIR.value)
    settings = getattr(config, "vetting", VettingConfig())
    jobs.vet([pathlib.Path(file) for file in files], workdir, settings, tuple(_CATALOGUE.value or ()))


def _parse_flags(argv: Sequence[str]) -> list[str]:
    """absl's parser, but a mistake in ``--config`` or one of its fields is one line without a traceback."""
    try:
        argv = [_with_config_found(argument) for argument in argv]
    except InputError as error:
        fail(str(error))
    flags.FLAGS.set_gnu_getopt(True)  # options may come after a map, or a run
    try:
        rest = flags.FLAGS(list(argv))
        if _CONFIG.value is not None:
            vars(_CONFIG.value)  # a config file that failed raises only when it is used
        return rest
    except flags.UnrecognizedFlagError as error:
        has_config = any(argument.lstrip("-").partition("=")[0] == "config" for argument in argv)
        missing = f"--{error.flagname} is a field of an experiment, which is missing; add --config=NAME"
        is_field = error.flagname.startswith("config.") and not has_config
        fail(f"{missing} (clusterjax configs lists them)" if is_field else str(error))
    except flags.Error as error:
        # A config file's own exception comes with its whole traceback; the last line says it.
        text = str(error).strip()
        fail("the config cannot be loaded: " + text.splitlines()[-1] if "Traceback" in text else text)
    except (KeyError, AttributeError) as error:
        fail(f"{error.args[0] if error.args else error}; see clusterjax/config.py for the fields")
    except InputError as error:
        fail(str(error))
    except Exception as error:  # a config file is a program: whatever it raises is the user's
        fail(f"the config cannot be loaded: {type(error).__name__}: {error}")


def _with_config_found(argument: str) -> str:
    name, _, value = argument.lstrip("-").partition("=")
    return f"--config={find_config(value)}" if name == "config" else argument


def _leave_out_late_reads(unraisable) -> None:
    """``sys.unraisablehook`` without what TensorStore's threads say of reads that end after their loop is closed."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _run(argv: Sequence[str]) -> None:
    run_to_the_end(lambda: main(argv), several_hosts=_DISTRIBUTED.value, sigterm_status=_SIGTERM_STATUS.value)


def start(argv: Sequence[str] | None = None) -> None:
    """The program with ``argv``, by default the command line's. Does not return."""
    app.run(_run, argv=None if argv is None else list(argv), flags_parser=_parse_flags)


if __name__ == "__main__":
    use_large_pages()
    start()
