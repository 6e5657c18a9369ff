"""Several hosts make one data set: each its share of the examples, which the first one puts together.

They need a folder that all of them see. The examples, and so the data set, are those that one host alone would make.
"""

import dataclasses
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np

from clusterjax.writing import replacing

Example = dict  # of numbers, texts and arrays


@dataclasses.dataclass(frozen=True)
class Share:
    """Of ``number`` hosts this is the one with the ``index``; chunk i of the work is that of host i % number."""

    index: int
    number: int
    folder: pathlib.Path

    def clear(self) -> None:
        """Of what an earlier build has left; by one host, before the others begin."""
        self.remove()
        self.folder.mkdir(parents=True)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def results(
        self, name: str, chunks: list[list], compute: Callable[[list[list]], Iterator[list[Example]]]
    ) -> Iterator[list[Example]]:
        """What ``compute`` makes of all chunks, in order, on host 0. On the others nothing: their share is written.

        ``name`` tells this work from other work on the same data set.
        """
        mine = compute(chunks[self.index :: self.number])
        for chunk, (host, path) in enumerate(self._places(name, len(chunks))):
            if self.index == 0:
                yield next(mine) if host == 0 else _read_when_there(path, len(chunks[chunk]))
            elif host == self.index:
                _write(path, next(mine))

    def _places(self, name: str, number: int) -> Iterator[tuple[int, pathlib.Path]]:
        for chunk in range(number):
            yield chunk % self.number, self.folder / f"{name.replace(' ', '_')}_{chunk:06d}.npz"


def _write(path: pathlib.Path, examples: list[Example]) -> None:
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **{name: np.array([example[name] for example in examples]) for name in examples[0]})


def _read_when_there(path: pathlib.Path, number: int) -> list[Example]:
    while not path.exists():  # a host that has died ends this program too
        time.sleep(0.02)
    with np.load(path, allow_pickle=False) as stored:
        columns = {name: stored[name] for name in stored.files}
    path.unlink()
    # As simulated: texts and numbers are Python's or NumPy's own, arrays are arrays.
    return [{name: _plain(values[i]) for name, values in columns.items()} for i in range(number)]


def _plain(value):
    return str(value) if isinstance(value, np.str_) else value
