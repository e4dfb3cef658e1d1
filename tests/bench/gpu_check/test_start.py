"""The script that starts the check needs Python alone, says what is missing in one line, and exits with 3."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dashdeploy.bench.gpu_check import start

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "bench" / "gpu_check" / "start.py"
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


def run(*words, isolated=False):
    command = [sys.executable, *(["-I", "-S"] if isolated else []), str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_no_gpu
def test_without_a_gpu_it_is_exit_code_three_and_one_line():
    done = run()
    assert done.returncode == 3
    assert done.stdout == ""
    assert re.fullmatch(
        r"error: torch .* rehearse it on the CPU with: make gpu-check DEVICE=cpu\n", done.stderr
    )


@needs_no_gpu
def test_make_calls_it():
    command = ["make", "gpu-check", f"PYTHON={sys.executable}", "RUN=none"]
    # The tests may themselves be run by make, which a make below it would mention.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=False)
    assert "rehearse it on the CPU with: make gpu-check DEVICE=cpu" in done.stderr
    assert "Error 3" in done.stderr
    assert done.stdout == ""


def test_without_torch_it_says_so():
    done = run("--device", "cpu", isolated=True)  # Python's own library alone
    assert done.returncode == 3
    assert done.stderr.startswith("error: torch, numpy, jinja2, filelock: not installed for ")
    assert done.stderr.count("\n") == 1


def test_without_wheels_it_names_what_is_missing_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(
        start, "packages", lambda: ["no-such-package", "numpy", *[f"absent{i}" for i in range(9)]]
    )
    assert start.install(tmp_path, tmp_path / "site") == (
        "no_such_package, absent0, absent1, absent2, absent3, absent4 and 4 more: not installed, and "
        f"{tmp_path} has no wheels; with a network run make gpu-wheels, and copy that folder here "
        "(make gpu-check WHEELS=FOLDER)"
    )


def test_wheels_are_installed_without_a_network_into_a_folder_of_their_own(tmp_path):
    import zipfile

    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny_thing-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_thing.py", "answer = 42\n")
        info = "tiny_thing-1.0.dist-info"
        # It needs what is nowhere: dependencies are not looked for.
        metadata = "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\nRequires-Dist: no-such-package\n"
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    assert start.install(wheels, tmp_path / "site") is None
    assert (tmp_path / "site" / "tiny_thing.py").read_text() == "answer = 42\n"
    (wheels / "broken-1.0-py3-none-any.whl").write_bytes(b"no wheel")
    reason = start.install(wheels, tmp_path / "other")
    assert reason.startswith(f"the wheels of {wheels} do not install: ")
    assert "\n" not in reason


def test_the_list_is_pinned_and_known_by_its_modules():
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    packages = start.packages()
    assert len(packages) > 30
    assert set(packages) <= pinned
    assert "torch" not in packages
    # All of them are installed where the tests run, so a name of a module that is wrong would be missing.
    assert start.absent([start.module_of(package) for package in packages]) == []
