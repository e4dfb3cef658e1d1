"""The package: however it is installed, the stages are dashdeploy.search, .export and .bench."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STAGES = ("search", "export", "bench")
IMPORT_EVERYTHING = """
import importlib.util, pathlib, sys
import dashdeploy
home = pathlib.Path(dashdeploy.__file__).parent
assert home.is_relative_to(sys.argv[1]), home
assert (home / "py.typed").exists()
for stage in ("search", "export", "bench", "serve", "ops", "data", "backbones", "runtimes"):
    module = importlib.import_module(f"dashdeploy.{stage}")
    assert pathlib.Path(module.__file__).is_relative_to(home), module.__file__
for name in dashdeploy.__all__:
    getattr(dashdeploy, name)
"""
NO_BARE_NAMES = """
for name in ("search", "export", "bench"):
    assert importlib.util.find_spec(name) is None, f"the bare name {name} was installed"
"""


@pytest.mark.parametrize("stage", STAGES)
def test_the_stages_are_symbolic_links(stage):
    link = ROOT / "dashdeploy" / stage
    assert link.is_symlink()
    assert link.readlink() == Path("..", stage)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the source tree, so that no older build comes along and nothing is left in the original."""
    copy = tmp_path_factory.mktemp("tree") / "dashdeploy"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "demo", "*.egg-info", "__pycache__", "node_modules"
    )
    return shutil.copytree(ROOT, copy, symlinks=True, ignore=unwanted)


@pytest.fixture(scope="module")
def dist(tree, tmp_path_factory):
    """The sdist, the wheel built from it (both by `python -m build`), and the wheel built from the tree."""
    folder = tmp_path_factory.mktemp("dist")
    for arguments in (["--outdir", folder], ["--wheel", "--outdir", folder / "direct"]):
        run(sys.executable, "-m", "build", *arguments, tree)
    return {
        "sdist": next(folder.glob("*.tar.gz")),
        "sdist -> wheel": next(folder.glob("*.whl")),
        "wheel": next((folder / "direct").glob("*.whl")),
    }


def run(*command, **options):
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def fresh_environment(folder, *install):
    """A fresh environment in which `install` was installed, and which sees the dependencies of this one.

    The dependencies are gigabytes, so they are lent by a .pth file. It sorts behind an editable install's
    own, and .pth files in a folder that is lent are not read: this environment's dashdeploy stays out.
    """
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", *install)
    site = next((folder / "lib").glob("python*/site-packages"))
    theirs = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "zz_dependencies.pth").write_text(f"{theirs}\n")
    return python


PARTS_OF_PAGES = (".js", ".mjs", ".css", ".html")


def modules(tree, suffixes=(".py",)):
    return {
        path.relative_to(tree).as_posix()
        for package in (tree / "dashdeploy", *(tree / "dashdeploy" / stage for stage in STAGES))
        for path in package.rglob("*")
        if path.suffix in suffixes
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wheel", "sdist -> wheel"])
def test_the_wheel_holds_every_module_and_nothing_else(way, tree, dist):
    names = zipfile.ZipFile(dist[way]).namelist()
    assert {name for name in names if name.endswith(".py")} == modules(tree)
    assert {name for name in names if name.endswith(PARTS_OF_PAGES)} == modules(tree, PARTS_OF_PAGES)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"dashdeploy"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_a_wheel_has_the_native_kernels_where_there_is_a_compiler(tree, dist, tmp_path):
    sources = {path.name for path in (tree / "export" / "native" / "src").iterdir()}
    without = {**os.environ, "CXX": "/nowhere/g++"}
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, tree, env=without)
    pure = next(tmp_path.glob("*.whl"))
    wheels = {way: dist[way] for way in ("wheel", "sdist -> wheel")} | {"without a compiler": pure}
    for way, wheel in wheels.items():
        names = zipfile.ZipFile(wheel).namelist()
        carried = {name.rpartition("/")[2] for name in names if "export/native/src/" in name}
        assert carried == sources
        compiled = way != "without a compiler" and shutil.which("g++") is not None
        assert any(name.endswith("libdashdeploy_native.so") for name in names) == compiled
        assert wheel.name.endswith("-py3-none-any.whl") != compiled
    python = fresh_environment(tmp_path / "venv", pure)
    run(python, "-I", "-c", IMPORT_EVERYTHING, tmp_path, cwd=tmp_path)
    doctor = (python, "-I", "-m", "dashdeploy", "doctor", "--json")
    engines = {each["name"]: each for each in json.loads(run(*doctor, cwd=tmp_path))["engines"]}
    assert not engines["native"]["works"]
    assert engines["native"]["needs"].endswith("run: python -m dashdeploy.export.native.build")
    # What doctor says mends it.
    run(python, "-I", "-m", "dashdeploy.export.native.build", cwd=tmp_path)
    engines = {each["name"]: each for each in json.loads(run(*doctor, cwd=tmp_path))["engines"]}
    assert engines["native"]["works"]


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_needs(dist):
    with tarfile.open(dist["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("way", ["wheel", "sdist -> wheel"])
def test_a_fresh_environment_imports_the_stages(way, dist, tmp_path):
    python = fresh_environment(tmp_path / "venv", dist[way])
    run(python, "-I", "-c", IMPORT_EVERYTHING + NO_BARE_NAMES, tmp_path, cwd=tmp_path)
    assert run(tmp_path / "venv" / "bin" / "dashdeploy", "--version").startswith("dashdeploy ")


@pytest.mark.slow
def test_an_editable_install_imports_the_stages(tree, tmp_path):
    python = fresh_environment(tmp_path / "venv", "--editable", tree)
    # The bare names are there too, since the tree itself is on the path: hence ruff's ban.
    run(python, "-I", "-c", IMPORT_EVERYTHING, tree, cwd=tmp_path)
