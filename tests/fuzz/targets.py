"""What reads files that others wrote: each takes any content, and either reads it or raises InputError."""

import contextlib
import dataclasses
import functools
import gzip
import io
import pathlib
import random
import tempfile
import unittest.mock
import warnings
from collections.abc import Callable

import numpy as np
from absl import flags
from jaxtyping import TypeCheckError

from clusterjax.config import from_json
from clusterjax.config_checks import validate
from clusterjax.data.votes.panoptes import read_panoptes
from clusterjax.data.votes.weighting import class_scores, final_classes, user_weights
from clusterjax.errors import InputError
from clusterjax.sky.catalogues import read_table, with_positions
from clusterjax.sky.fits import read_image, read_probability_map
from clusterjax.sky.moc import read_coverage
from clusterjax.sky.open_map import open_map
from clusterjax.sky.surveys.contents import KINDS, fault, read_archive
from tests.fuzz import seeds as valid
from tests.fuzz.mutations import mutate

_RA, _DEC = np.array([0.0, 30.0, 30.1, np.nan]), np.array([0.0, 5.0, -89.0, 1.0])


@dataclasses.dataclass(frozen=True)
class Target:
    """``use(path)`` reads the file. ``pack`` is what follows a mutation: compression, say."""

    make_seeds: Callable[[pathlib.Path], valid.Seeds]
    kind: str
    use: Callable[[pathlib.Path], object]
    pack: Callable[[bytes], bytes] = bytes

    @functools.cached_property
    def seeds(self) -> valid.Seeds:
        with tempfile.TemporaryDirectory() as folder:
            return self.make_seeds(pathlib.Path(folder))

    def originals(self) -> valid.Seeds:
        """What is mutated; all of it is valid."""
        return self.seeds

    def input(self, rng: random.Random) -> tuple[str, bytes]:
        """(file name, content) of one mutation."""
        name, content = rng.choice(self.seeds)
        return name, self.pack(mutate(rng, content, self.kind))

    def attempt(self, folder: pathlib.Path, name: str, content: bytes) -> bool:
        """True if it is read, False if it is refused. Whatever else is raised is a bug."""
        path = folder / name
        path.write_bytes(content)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                self.use(path)
        except InputError as error:
            text = str(error)
            assert text.strip(), "an error without a word"
            assert "\n" not in text.strip(), f"more than one line: {text!r}"
            return False
        finally:
            path.unlink()
        return True


def _use_map(path: pathlib.Path) -> None:
    reader = open_map([path])
    ny, nx = (min(length, 16) for length in reader.shape)
    reader.read(0, 0, ny, nx)
    reader.values(_RA, _DEC)
    reader.windows_around(_RA, _DEC, 5)


def _use_image(path: pathlib.Path) -> None:
    read_image(path)


def _use_coverage(path: pathlib.Path) -> None:
    read_coverage(path)(_RA, _DEC)


def _use_table(path: pathlib.Path) -> None:
    with_positions(read_table(path))


def _use_votes(path: pathlib.Path) -> None:
    votes = read_panoptes(path)
    user_weights(votes)
    class_scores(votes)
    final_classes(votes)


def _use_config(path: pathlib.Path) -> None:
    try:
        text = path.read_text()
    except UnicodeDecodeError as error:  # whose reader says so
        raise InputError(str(error)) from error
    try:
        validate(from_json(text))
    except TypeCheckError as error:  # of pytest's own checks of annotations, which come before ours
        raise InputError("a value of another type") from error


_CONFIG_FILE = pathlib.Path(__file__).parents[2] / "configs" / "alexnet_ir.py"


def _use_override(path: pathlib.Path) -> None:
    """As ``clusterjax.main`` reads its command line; what it prints and exits with is a refusal."""
    from clusterjax import ending, main

    argument = path.read_bytes().decode("utf-8", "surrogateescape").replace("\0", "")
    stderr = io.StringIO()
    flags.FLAGS.unparse_flags()
    argv = ["clusterjax", f"--config={_CONFIG_FILE}", argument]
    try:
        # ml_collections looks for the overrides there.
        with contextlib.redirect_stderr(stderr), unittest.mock.patch("sys.argv", argv):
            main._parse_flags(argv)
    except SystemExit as stopped:
        if stopped.code != ending.USAGE_ERROR:
            raise AssertionError(f"exit status {stopped.code}") from stopped
        raise InputError(stderr.getvalue()) from stopped
    validate(main._CONFIG.value)


def _use_picture(path: pathlib.Path) -> None:
    from tfds_builders.labelled_images.reading import read_square

    read_square(path, 8)


def _use_kosiba(path: pathlib.Path) -> None:
    from tfds_builders.xray_optical_cutouts.archive import KosibaArchive

    with KosibaArchive(path) as archive:
        for entry in archive.entries():
            archive.image(entry.member)


def _use_tar(path: pathlib.Path) -> None:
    for kind in KINDS:
        fault(path, kind)
    for _ in read_archive(path):
        pass


def _use_weights(path: pathlib.Path) -> None:
    from clusterjax.models.pretrained import read_weights

    read_weights(path)


class _InTree(Target):
    """Mutates one file of a folder, which is read as a whole. Names have | for the slashes of their path in it."""

    @functools.cached_property
    def seeds(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return self.make_seeds(pathlib.Path(folder))

    def originals(self) -> valid.Seeds:
        return [(name.replace("/", "|"), content) for name, content in self.seeds.items()]

    def input(self, rng: random.Random) -> tuple[str, bytes]:
        name = "properties" if "properties" in self.seeds and rng.random() < 0.5 else rng.choice(sorted(self.seeds))
        kind = "text" if name == "properties" else "fits"
        return name.replace("/", "|"), mutate(rng, self.seeds[name], kind)

    def attempt(self, folder: pathlib.Path, name: str, content: bytes) -> bool:
        with tempfile.TemporaryDirectory(dir=folder) as tree:
            for path, own in (self.seeds | {name.replace("|", "/"): content}).items():
                (pathlib.Path(tree) / path).parent.mkdir(parents=True, exist_ok=True)
                (pathlib.Path(tree) / path).write_bytes(own)
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    self.use(pathlib.Path(tree))
            except InputError:
                return False
        return True


def _tiles(folder: pathlib.Path) -> dict[str, bytes]:
    return {name.replace("several", "w1"): content for name, content in valid.images(folder)[:1]}


def _pack(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


TARGETS: dict[str, Target] = {
    "fits_images": Target(valid.images, "fits", _use_map),
    "fits_pixels": Target(valid.images, "fits", _use_image),
    "gzipped_fits": Target(valid.packed_images, "binary", _use_map),
    "score_maps": Target(valid.score_maps, "fits", read_probability_map),
    "healpix": Target(valid.healpix, "fits", _use_map),
    "hips": _InTree(valid.hips, "text", lambda tree: _use_map(tree)),
    "tile_folder": _InTree(_tiles, "fits", lambda tree: _use_map(tree)),
    "mocs": Target(valid.mocs, "fits", _use_coverage),
    "json_mocs": Target(valid.json_mocs, "text", _use_coverage),
    "fits_tables": Target(valid.fits_tables, "fits", _use_table),
    "text_tables": Target(valid.text_tables, "text", _use_table),
    "votables": Target(valid.votables, "text", _use_table),
    "votes": Target(valid.votes, "text", _use_votes),
    "configs": Target(valid.configs, "text", _use_config),
    "overrides": Target(valid.overrides, "text", _use_override),
    "pictures": Target(valid.pictures, "binary", _use_picture),
    "kosiba_archives": Target(valid.kosiba_archives, "zip", _use_kosiba),
    "tar_archives": Target(valid.tars, "binary", _use_tar, _pack),
    "pytorch_weights": Target(valid.weights, "zip", _use_weights),
    "safetensors": Target(valid.safetensors, "text", _use_weights),
}
