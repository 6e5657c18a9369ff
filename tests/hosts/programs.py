"""Programs on several hosts: processes with virtual devices of their own that meet on this machine."""

import contextlib
import json
import os
import pathlib
import re
import runpy
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]


class Programs:
    """One program on ``number`` hosts: as a context, ended at its end."""

    def __init__(self, number: int, arguments, *, num_devices: int = 4):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{free.getsockname()[1]}"
        common = [sys.executable, "-m", "clusterjax.main", *map(str, arguments), "--distributed"]
        common += [f"--coordinator={place}", f"--num_hosts={number}"]
        devices = re.sub(r"(device_count=)\d+", rf"\g<1>{num_devices}", os.environ["XLA_FLAGS"])
        self.processes = [
            subprocess.Popen(
                [*common, f"--host_index={host}"],
                cwd=ROOT,
                env=os.environ | {"XLA_FLAGS": devices},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for host in range(number)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()

    def outputs(self, timeout: float = 600) -> list[str]:
        """What each host has printed, once all have ended."""
        return [process.communicate(timeout=timeout)[0] for process in self.processes]

    @property
    def statuses(self) -> list[int | None]:
        return [process.returncode for process in self.processes]


def losses(workdir) -> list[tuple]:
    """(step, split, loss) of each row of metrics.jsonl."""
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row["split"], row["loss"]) for row in rows]


def wait_for_step(workdir, step: int, programs: Programs, timeout_s: float = 400) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert all(process.poll() is None for process in programs.processes), programs.outputs()
        path = workdir / "metrics.jsonl"
        if path.exists() and any(f'"step": {step},' in line for line in path.read_text().splitlines()):
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def load_config(path, variant: str = ""):
    return runpy.run_path(str(path))["get_config"](variant)
