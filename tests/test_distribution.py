"""The wheel and the source distribution: complete, valid, of use where there is no clone. Needs a package registry."""

import pathlib
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile

import pytest
from astropy.io import fits

from clusterjax import config_files, networks
from clusterjax.simulation.infrared.maps import simulate_map
from clusterjax.simulation.knobs import InfraredSky
from clusterjax.sky.fits import write_sky_map

ROOT = pathlib.Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
pytestmark = pytest.mark.slow


def uv(*arguments, cwd=ROOT, **options) -> subprocess.CompletedProcess:
    command = [shutil.which("uv"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=900, **options)


@pytest.fixture(scope="module", autouse=True)
def registry():
    if shutil.which("uv") is None:
        pytest.skip("no uv")
    if uv("pip", "compile", "--quiet", "-", input="absl-py").returncode:
        pytest.skip("no package registry can be reached")


@pytest.fixture(scope="module")
def distributions(tmp_path_factory, registry) -> tuple[pathlib.Path, pathlib.Path]:
    """(wheel, source distribution)."""
    folder = tmp_path_factory.mktemp("dist")
    made = uv("build", "--out-dir", folder)
    assert made.returncode == 0, made.stderr
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def test_registries_would_take_them(distributions):
    checked = uv("tool", "run", "twine", "check", "--strict", *distributions)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("PASSED") == 2


def test_nothing_is_missing(distributions):
    """All files of the packages that git knows, the configs by name, the networks."""
    wheel, source = distributions
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        metadata = archive.read(next(name for name in inside if name.endswith("METADATA"))).decode()
    tracked = subprocess.run(
        ["git", "ls-files", "clusterjax", "tfds_builders"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    assert len(tracked) > 200 or not (ROOT / ".git").exists()
    assert set(tracked) <= inside
    assert {f"clusterjax/configs/{name}.py" for name in config_files.config_names()} <= inside
    assert {f"clusterjax/networks/{name}/weights.npz" for name in networks.NAMES} <= inside
    assert not any(re.match(r"(?:tests|configs|docs|benchmarks)/", name) for name in inside)
    assert set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.M)) == set(PROJECT["optional-dependencies"])
    assert wheel.stat().st_size < 5e6
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "configs/alexnet_ir.py", "tests/conftest.py"} <= names
    assert {*tracked} <= names


def test_used_where_there_is_no_clone(distributions, tmp_path):
    """A fresh environment, the wheel, a map: probabilities. And a shipped config by its name."""
    python = tmp_path / "venv" / "bin" / "python"
    assert uv("venv", "--quiet", "--python", "3.12", tmp_path / "venv").returncode == 0
    installed = uv("pip", "install", "--quiet", "--python", python, distributions[0])
    assert installed.returncode == 0, installed.stderr
    sky, _ = simulate_map(InfraredSky(), seed=5, shape=(200, 200), ra_deg=30.0, dec_deg=5.0, cluster_boost=50.0)
    write_sky_map(tmp_path / "field.fits", sky)

    def run(*arguments):
        command = [python.with_name("clusterjax"), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)

    scanned = run("scan", "field.fits")
    assert scanned.returncode == 0, scanned.stderr
    with fits.open(tmp_path / "runs" / "field" / "scan" / "probability.fits") as hdus:
        assert 0 <= hdus[0].data[20, 20] <= 1
    assert "alexnet_ir " in run("configs").stdout
    refused = run("train", "alexnet_ir", "--config.training.num_epochs=0")
    assert "config.training.num_epochs=0 must be" in refused.stderr


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_extras_resolve(extra):
    """With the newest releases within the ranges, as pip would."""
    found = uv(
        "pip", "compile", "--quiet", "--no-header", "--python-version", "3.12", "--extra", extra, "pyproject.toml"
    )
    assert found.returncode == 0, found.stderr
    for requirement in PROJECT["optional-dependencies"][extra]:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")
        assert re.search(rf"^{re.escape(name)}\b", found.stdout.replace("_", "-"), re.M), name
