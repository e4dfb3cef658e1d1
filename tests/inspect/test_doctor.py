"""doctor: it says what is there, and survives every way in which a package or a driver is broken."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.inspect import doctor
from dashdeploy.runtimes.gpus import Gpu, find_gpus
from dashdeploy.runtimes.names import EngineName


def test_reports_this_machine():
    report = doctor.examine()
    assert report.cores >= 1
    assert report.packages["torch"]
    engines = {engine.name: engine for engine in report.engines}
    assert engines["ort-cpu"].works and engines["ort-cpu"].needs == ""
    assert engines["torch"].works


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
def test_without_a_gpu_its_check_is_exit_code_three():
    done = CliRunner().invoke(app, ["doctor", "--gpu"])
    assert done.exit_code == 3
    assert done.stdout == ""
    assert done.stderr.startswith("error: no GPU to check: no NVIDIA driver")
    assert done.stderr.endswith("rehearse the check with: make gpu-check DEVICE=cpu\n")
    assert done.stderr.count("\n") == 1


def test_with_a_gpu_its_check_is_named(monkeypatch):
    # Torch and the driver say that there is one; nothing is computed on it.
    gpus = [Gpu(name="NVIDIA A100", compute_capability="8.0")], "driver for CUDA 13.0"
    monkeypatch.setattr(doctor, "find_gpus", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    done = CliRunner().invoke(app, ["doctor", "--gpu"])
    assert done.exit_code == 0
    assert f"make -C {Path(__file__).parents[2]} gpu-check" in done.stdout
    assert json.loads(CliRunner().invoke(app, ["doctor", "--gpu", "--json"]).stdout)["gpu_check"].endswith(
        "gpu-check"
    )
    assert "gpu-check" not in CliRunner().invoke(app, ["doctor"]).stdout


def test_a_missing_engine_comes_with_the_command_that_installs_it():
    engine = doctor._engine("imaginary", ["no-such-package"], "no_such_package", extra="imaginary")
    assert engine.version is None and not engine.works
    assert engine.needs == "install it with: pip install 'dashdeploy[imaginary]'"


def test_an_engine_that_cannot_be_imported_is_a_finding(tmp_path, monkeypatch):
    (tmp_path / "broken_engine.py").write_text(
        "raise OSError('libfoo.so.3: cannot open shared object\\nfile')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = doctor._engine("broken", ["numpy"], "broken_engine")
    assert not engine.works
    assert (
        engine.needs
        == "broken_engine is installed but cannot be imported: libfoo.so.3: cannot open shared object file"
    )


def test_an_engine_for_gpus_says_so_where_there_is_none():
    engine = doctor._engine("gpu engine", ["numpy"], "numpy", gpu=False)
    assert not engine.works
    assert engine.needs == "an NVIDIA GPU with its driver"


H200, L4 = Gpu(name="NVIDIA H200", compute_capability="9.0"), Gpu(name="NVIDIA L4", compute_capability="8.9")


@pytest.mark.parametrize(
    ("installed", "usable", "row"),
    [
        (
            [],
            ([], "no NVIDIA driver (libcuda.so.1 not found)"),
            "none: no NVIDIA driver (libcuda.so.1 not found)",
        ),
        (
            [H200],
            ([H200], "driver for CUDA 13.1"),
            "NVIDIA H200 (compute capability 9.0); driver for CUDA 13.1",
        ),
        # A driver without NVML, as on small boards.
        ([], ([L4], "driver for CUDA 13.1"), "NVIDIA L4 (compute capability 8.9); driver for CUDA 13.1"),
        # CUDA fails on a GPU that is there, or is shown one of two.
        ([H200], ([], "the NVIDIA driver fails with error 803 (cuInit)"), "9.0); the NVIDIA driver fails"),
        ([H200, L4], ([L4], "driver for CUDA 13.1"), "13.1, which shows this process 1 of 2 devices"),
    ],
)
def test_gpus_come_from_nvml_and_what_is_usable_from_cuda(monkeypatch, installed, usable, row):
    monkeypatch.setattr(doctor, "installed_gpus", lambda: installed)
    monkeypatch.setattr(doctor, "find_gpus", lambda: usable)
    report = doctor.examine()
    assert row in next(line for line in report.text().splitlines() if line.startswith("GPU"))
    assert report.gpus == (installed or usable[0])
    needs = {engine.name: engine.needs for engine in report.engines}
    assert ("an NVIDIA GPU with its driver" in needs["tensorrt"]) is (not usable[0])


@pytest.mark.gpu
def test_a_real_device():
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    assert doctor.examine().gpus


def test_command():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "ort-cpu" in result.stdout and "processor" in result.stdout


def test_every_engine_has_one_line():
    names = [engine.name for engine in doctor.examine().engines]
    assert len(names) == len(set(names))
    assert set(EngineName) <= {*names, "torchscript"}  # torch runs those files, and has a line of its own
