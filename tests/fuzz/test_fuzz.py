"""A few mutations of each kind of file; ``benchmarks/fuzz.py`` does a million. And every input that was once a bug."""

import pathlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

_FOUND = pathlib.Path(__file__).parent / "found"  # target/number_name, as benchmarks/fuzz.py --found leaves them
_FITS = (
    "fits_images",
    "fits_pixels",
    "score_maps",
    "healpix",
    "hips",
    "tile_folder",
    "mocs",
    "fits_tables",
    "overrides",
)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_mutated_is_read(target, tmp_path):
    for name, content in TARGETS[target].originals():
        assert TARGETS[target].attempt(tmp_path, name, TARGETS[target].pack(content)), name


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_are_read_or_refused(target, tmp_path):
    @settings(
        max_examples=10 if target in _FITS else 50, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**32))
    def attempt(number):
        TARGETS[target].attempt(tmp_path, *TARGETS[target].input(random.Random(number)))

    attempt()


@pytest.mark.parametrize("path", sorted(_FOUND.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_a_bug_is_refused(path, tmp_path):
    target = TARGETS[path.parent.name]
    target.attempt(tmp_path, path.name.partition("_")[2], path.read_bytes())
