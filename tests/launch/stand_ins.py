"""Stand-ins on PATH for what the scripts of launch/ call: they record each call, answer, and fail as a test says."""

import os
import pathlib
import subprocess

LAUNCH = pathlib.Path(__file__).parents[2] / "launch"

# A test gives ANSWER: bash that sees the call in "$*" and how many calls there were like a pattern so far in `nth`.
_STAND_IN = """#!/bin/bash
calls={calls}
printf '%s\\0' "${{0##*/}}" "$@" | tr '\\n' ' ' >>"$calls"
printf '\\n' >>"$calls"
nth() {{ tr '\\0' ' ' <"$calls" | grep -c -- "$1"; }}
{answer}
exit 0
"""


class Machine:
    """A folder of stand-ins, and the calls that they were given."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.calls_file = folder / "calls"
        self.bin = folder / "bin"
        self.bin.mkdir()

    def install(self, name: str, answer: str = "") -> None:
        path = self.bin / name
        path.write_text(_STAND_IN.format(calls=self.calls_file, answer=answer))
        path.chmod(0o755)

    def launch(self, script: str, *words: str, **environment: str) -> subprocess.CompletedProcess:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CLUSTERJAX_")}
        return subprocess.run(
            ["bash", LAUNCH / script, *words],
            cwd=self.folder,
            env={**clean, "PATH": f"{self.bin}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[list[str]]:
        """Each call's words, the tool's name first; line breaks within them are blanks."""
        if not self.calls_file.exists():
            return []
        return [line.rstrip("\0").split("\0") for line in self.calls_file.read_text().splitlines()]
