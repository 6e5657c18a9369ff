"""Data sets built on Apache Beam: each shard is made, whole, by one worker of whatever runner the options name.

TFDS's own way through Beam brings all examples together to sort them. Here a shard holds the units next to each
other, so that nothing has to be sorted, a worker's memory holds one example, and shards that are there when a build was
killed are not made again. Examples and their order are those of an ordinary build.
"""

import contextlib
import functools
import json
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from clusterjax.errors import InputError

_SHARD_BYTES, _SHARD_EXAMPLES = 64e6, 1024  # at most: some seconds of work
_LOOK_EVERY_SECONDS = 5.0
_INSTALL = "uv run --extra beam --no-dev python -m clusterjax.main ..."


class Work(NamedTuple):
    """One split: ``make`` gives the examples of some of its ``units``, from these alone; both travel to workers."""

    split: str
    make: Callable[[Sequence[Any]], Iterable[dict]]
    units: Sequence[Any]


class BeamBuild:
    """Mix-in before ``tfds.core.GeneratorBasedBuilder``: builds on Beam where ``beam`` has pipeline options.

    A builder adds ``beam_work`` and ``note_examples``.
    """

    beam: str = ""  # pipeline options, as on a command line; empty: not on Beam
    beam_folder: str = ""  # where workers write, which they and this program must see; empty: beside the data set

    def beam_work(self) -> list[Work]:
        """All splits. Raises :class:`InputError` for data sets that cannot be made unit by unit."""
        raise InputError(f"{self.name} is not built on Beam; leave config.data.beam empty")

    def note_examples(self) -> None:
        """Put into the metadata what an ordinary build finds out while it makes the examples."""

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        if not self.beam:
            super()._download_and_prepare(dl_manager, download_config)
            return
        from tensorflow_datasets.core import splits

        folder = self.beam_folder or str(pathlib.Path(self.data_dir).parent)
        folder = f"{folder}/beam-{self.name}-{self.builder_config.name}-{self.version}"
        work = self.beam_work()
        with _readable_errors():
            lengths = make_shards(
                work,
                self.beam,
                folder,
                features=self.info.features,
                example_bytes=self.estimated_bytes() / sum(len(part.units) for part in work),
            )
            infos = []
            for split, made in lengths.items():
                template = self._get_filename_template(split_name=split)
                for index, name in enumerate(made):
                    _fetch(f"{folder}/{name}", template.sharded_filepath(shard_index=index, num_shards=len(made)))
                counts, sizes = zip(*made.values(), strict=True)
                infos.append(
                    splits.SplitInfo(
                        name=split, shard_lengths=list(counts), num_bytes=sum(sizes), filename_template=template
                    )
                )
            self.info.set_splits(splits.SplitDict(infos))
            self.note_examples()
            _files().delete([folder])


def _files():
    """Beam's own file systems: local disks, gs://, s3://, hdfs://, whatever is installed."""
    try:
        from apache_beam.io.filesystems import FileSystems
    except ImportError as error:
        raise InputError(f"config.data.beam needs Apache Beam, which is not installed; use {_INSTALL}") from error
    return FileSystems


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """What a worker found wrong comes with where it was found, or deep within the runner's report."""
    try:
        yield
    except Exception as error:
        within = str(error) if isinstance(error, InputError) else str(error).partition("InputError: ")[2]
        if not within:
            raise
        if "[while running" not in within and isinstance(error, InputError):
            raise
        reason = re.split(r" \[while running|\\n|\n", within)[0]
        raise InputError(f"a worker of the Beam pipeline failed: {reason}") from error


def make_shards(
    work: Sequence[Work], options: str, folder: str, *, features, example_bytes: float
) -> dict[str, dict[str, tuple[int, int]]]:
    """The shards of each split in order, made into ``folder``: {split: {file name: (examples, bytes)}}.

    Those that are there are not made again; those without an example are left out.
    Raises :class:`InputError` without Beam, for options that it does not understand and for a split without examples.
    """
    files = _files()
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    if not files.exists(folder):
        files.mkdirs(folder)
    shards = {part.split: _shards(part, example_bytes) for part in work}
    names = [name for own in shards.values() for name in own]
    done = _done(folder)
    if done:
        print(f"{len(done)} of {len(names)} shards are in {folder}", file=sys.stderr, flush=True)
    missing = [(name, units) for own in shards.values() for name, units in own.items() if name not in done]
    writer = functools.partial(
        write_shard, make={part.split: part.make for part in work}, features=features, folder=folder
    )
    try:
        pipeline = beam.Pipeline(options=PipelineOptions(shlex.split(options), pipeline_type_check=False))
    except (ValueError, SystemExit) as error:  # argparse ends the program
        raise InputError(f"config.data.beam={options!r} is not understood by Beam: {error}") from error
    if missing:
        # Reshuffle: or a runner may join all of it into one bundle of work.
        _ = pipeline | beam.Create(missing) | beam.Reshuffle() | "WriteShards" >> beam.Map(writer)
        with _progress(folder, len(names), len(done)):
            pipeline.run().wait_until_finish()
    done = {name: _read_json(f"{folder}/{name}.json") for name in names}
    result = {split: {name: done[name] for name in own if done[name][0]} for split, own in shards.items()}
    for split, made in result.items():
        if not made:
            raise InputError(f"the {split} split has no examples")
    return result


def _shards(part: Work, example_bytes: float) -> dict[str, Sequence[Any]]:
    """{file name: units}, as even as can be."""
    most = max(1, min(_SHARD_EXAMPLES, int(_SHARD_BYTES / example_bytes)))
    number, total = -(-len(part.units) // most), len(part.units)
    borders = [total * index // number for index in range(number + 1)]
    return {
        f"{part.split}-{index:05d}-of-{number:05d}.array_record": part.units[borders[index] : borders[index + 1]]
        for index in range(number)
    }


def write_shard(
    shard: tuple[str, Sequence[Any]], *, make: Mapping[str, Callable], features, folder: str
) -> tuple[str, int, int]:
    """(name, examples, bytes): one shard, on a worker. It has its name only once it is whole, and .json last of all."""
    from tensorflow_datasets.core import example_serializer
    from tensorflow_datasets.core.file_adapters import ArrayRecordFileAdapter

    name, units = shard
    files = _files()
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    sizes: list[int] = []

    def records():
        for example in make[name.partition("-")[0]](units):
            record = serializer.serialize_example(features.encode_example(example))
            sizes.append(len(record))
            yield len(sizes), record

    with tempfile.TemporaryDirectory() as local:
        path = pathlib.Path(local) / "shard"
        ArrayRecordFileAdapter.write_examples(path, records())
        _store(files, path.open("rb"), f"{folder}/{name}")
    _store(files, json.dumps([len(sizes), sum(sizes)]).encode(), f"{folder}/{name}.json")
    return name, len(sizes), sum(sizes)


def _store(files, content, target: str) -> None:
    """Under another name first: two workers may be at the same shard."""
    from apache_beam.io.filesystem import CompressionTypes

    partial = f"{target}.{uuid.uuid4().hex}"
    with files.create(partial, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        if isinstance(content, bytes):
            stream.write(content)
        else:
            with content:
                shutil.copyfileobj(content, stream, 1 << 20)
    files.rename([partial], [target])


def _fetch(source: str, target) -> None:
    from apache_beam.io.filesystem import CompressionTypes

    with (
        _files().open(source, compression_type=CompressionTypes.UNCOMPRESSED) as stream,
        pathlib.Path(target).open("wb") as out,
    ):
        shutil.copyfileobj(stream, out, 1 << 20)


def _read_json(path: str) -> tuple[int, int]:
    with _files().open(path) as stream:
        return tuple(json.loads(stream.read()))


def _done(folder: str) -> set[str]:
    """Names of the shards that are whole."""
    found = _files().match([f"{folder}/*.json"])[0].metadata_list
    return {entry.path.rpartition("/")[2].removesuffix(".json") for entry in found}


@contextlib.contextmanager
def _progress(folder: str, total: int, done: int) -> Iterator[None]:
    """A bar of the shards that are whole: what every runner can be asked."""
    over = threading.Event()

    def watch(bar: tqdm) -> None:
        while not over.wait(_LOOK_EVERY_SECONDS):
            bar.update(len(_done(folder)) - bar.n)

    with tqdm(total=total, initial=done, desc="Building on Beam", unit=" shards", dynamic_ncols=True) as bar:
        watcher = threading.Thread(target=watch, args=(bar,), daemon=True)
        watcher.start()
        try:
            yield
            bar.update(total - bar.n)
        finally:
            over.set()
            watcher.join()
