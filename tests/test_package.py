"""What the package promises about itself: no TensorFlow, quick imports, README's commands."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]


def test_tensorflow_is_not_installed():
    names = {distribution.metadata["Name"].lower() for distribution in importlib.metadata.distributions()}
    assert not {name for name in names if name in ("tensorflow", "tensorflow-cpu", "tf-nightly", "tensorflow-intel")}


@pytest.mark.parametrize(
    "module",
    [
        "clusterjax", "clusterjax.cli", "clusterjax.config_files", "clusterjax.networks", "clusterjax.sky.fits",
        "clusterjax.simulation.infrared.cutouts", "clusterjax.config",
    ],
)  # fmt: skip
def test_imports_without_jax(module):
    code = f"import sys, {module}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    for path in set(re.findall(r"\b(?:configs|clusterjax|launch)/[a-z_]+\.(?:py|md|sh)\b", text)):
        assert (ROOT / path).exists(), path
    assert "@" not in text.replace("@misc", "")  # no figure was left to fill in
