"""The package: however it is installed, the stages are dashdeploy.search, .export and .bench."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = ("search", "export", "bench")
CHECK = """
import importlib, pathlib, sys
import dashdeploy
home = pathlib.Path(dashdeploy.__file__).parent
assert home.is_relative_to(sys.argv[1]), home
assert (home / "py.typed").exists()
for stage in ("search", "export", "bench", "serve", "ops", "tasks", "backbones", "runtimes"):
    module = importlib.import_module(f"dashdeploy.{stage}")
    assert pathlib.Path(module.__file__).is_relative_to(home), module.__file__
for name in ("search", "export", "bench"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise AssertionError(f"the bare name {name} was installed")
for name in dashdeploy.__all__:
    getattr(dashdeploy, name)
"""


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_are_symbolic_links(stage):
    link = ROOT / "dashdeploy" / stage
    assert link.is_symlink()
    assert os.readlink(link) == f"../{stage}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from the sdist, as `python -m build` makes them."""
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(dist), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def direct_wheel(tmp_path_factory):
    """The wheel built from the source tree, without an sdist between."""
    dist = tmp_path_factory.mktemp("direct")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(ROOT)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    return next(dist.glob("*.whl"))


def install(package, folder):
    """Install into a fresh environment which sees the dependencies of this one, but not its dashdeploy.

    The dependencies come through a .pth file of the site-packages that hold them: they are gigabytes, and what is
    tested is this package. An editable install leaves no `dashdeploy` folder there, so it cannot stand in.
    """
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", package], check=True, capture_output=True
    )
    site = next((folder / "lib").glob("python*/site-packages"))
    theirs = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"{theirs}\n")
    return python


def sources():
    return {
        path.relative_to(ROOT / "dashdeploy").as_posix()
        for package in (ROOT / "dashdeploy", *((ROOT / "dashdeploy" / stage) for stage in STAGES))
        for path in package.rglob("*.py")
    }


@pytest.mark.slow
def test_the_wheel_holds_every_module(built, direct_wheel):
    for wheel in (built[1], direct_wheel):
        names = zipfile.ZipFile(wheel).namelist()
        packed = {name.removeprefix("dashdeploy/") for name in names if name.endswith(".py")}
        assert sources() <= packed
        foreign = {name.split("/")[0] for name in names} - {"dashdeploy"}
        assert all(name.endswith(".dist-info") for name in foreign), foreign
        assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_needs(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wheel", "sdist -> wheel"])
def test_a_fresh_environment_imports_the_stages(way, built, direct_wheel, tmp_path):
    python = install(built[1] if way == "sdist -> wheel" else direct_wheel, tmp_path / "venv")
    subprocess.run([python, "-I", "-c", CHECK, tmp_path], check=True, cwd=tmp_path)
    version = subprocess.run(
        [tmp_path / "venv" / "bin" / "dashdeploy", "--version"], check=True, capture_output=True, text=True
    )
    assert version.stdout.startswith("dashdeploy ")


@pytest.mark.slow
def test_an_editable_install_imports_the_stages(tmp_path):
    python = install_editable(tmp_path / "venv")
    check = CHECK.replace("sys.argv[1]", repr(str(ROOT)))
    subprocess.run([python, "-I", "-c", check], check=True, cwd=tmp_path)


def install_editable(folder):
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", ROOT]
    subprocess.run(command, check=True, capture_output=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    theirs = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    # Behind its own: this environment's editable install of dashdeploy would otherwise come along.
    (site / "zz_dependencies.pth").write_text(f"{theirs}\n")
    return python
