"""A checkout without symbolic links says so, with the mend."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashdeploy.checkout import STAGES, refuse_missing_stages

PACKAGE = Path(__file__).parent.parent / "dashdeploy"
MEND = (
    "run: git config core.symlinks true, then: "
    "git checkout -- dashdeploy/search dashdeploy/export dashdeploy/bench"
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The package as git writes it with ``core.symlinks = false``: a link is a text file with its target."""
    folder = tmp_path_factory.mktemp("checkout")
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "dashdeploy", symlinks=True, ignore=unwanted)
    for stage in STAGES:
        link = folder / "dashdeploy" / stage
        assert link.is_symlink()
        target = link.readlink()
        link.unlink()
        link.write_text(target.as_posix())
    return folder


def run(checkout, *words):
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    return subprocess.run(
        [sys.executable, *words], cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_a_program_gets_an_import_error(checkout):
    done = run(checkout, "-c", "import dashdeploy")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"ImportError: {checkout / 'dashdeploy' / 'search'} must be a symbolic link to ../search"
    )
    assert MEND in last


@pytest.mark.parametrize(
    "words", [("-m", "dashdeploy", "--help"), ("-X", "utf8", "-m", "dashdeploy", "doctor")]
)
def test_a_command_prints_one_line(checkout, words):
    done = run(checkout, *words)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert MEND in line


def test_so_does_the_installed_script(checkout):
    script = checkout / "dashdeploy-script" / "dashdeploy"
    script.parent.mkdir()
    script.write_text("from dashdeploy.cli.app import main\nmain()\n")
    done = run(checkout, str(script), "--help")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1


def test_a_lost_link_is_named_and_a_whole_checkout_is_left_alone(tmp_path):
    for stage in STAGES[:2]:
        (tmp_path / stage).mkdir()
    with pytest.raises(ImportError, match="bench must be a symbolic link"):
        refuse_missing_stages(tmp_path)
    (tmp_path / "bench").mkdir()
    refuse_missing_stages(tmp_path)
    refuse_missing_stages(tmp_path / "archive.zip" / "dashdeploy")


def test_no_wheel_without_the_stages_is_built(checkout):
    shutil.copy(PACKAGE.parent / "setup.py", checkout)
    done = run(checkout, "setup.py", "--quiet", "build")
    assert done.returncode == 1
    assert MEND in done.stderr.splitlines()[-1]
    assert not (checkout / "build").exists()
