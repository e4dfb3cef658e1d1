"""doctor: it says what is there, and survives every way in which a package or a driver is broken."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.inspect import doctor


def test_reports_this_machine():
    report = doctor.examine()
    assert report.cores >= 1
    assert report.packages["torch"]
    engines = {engine.name: engine for engine in report.engines}
    assert engines["ort-cpu"].works and engines["ort-cpu"].needs == ""
    assert engines["torch"].works


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


def test_no_driver():
    def missing(name):
        raise OSError(name)

    gpus, why = doctor.find_gpus(missing)
    assert gpus == []
    assert why.startswith("no NVIDIA driver")


def test_a_driver_without_device():
    gpus, why = doctor.find_gpus(lambda _: SimpleNamespace(cuInit=lambda _: 100))
    assert gpus == []
    assert "error 100" in why


def test_a_driver_with_a_device():
    def put(value):
        def call(pointer, *_):
            pointer._obj.value = value
            return 0

        return call

    def name(buffer, *_):
        buffer.value = b"NVIDIA H100"
        return 0

    def attribute(pointer, number, _):
        pointer._obj.value = {75: 9, 76: 0}[number]
        return 0

    cuda = SimpleNamespace(
        cuInit=lambda _: 0,
        cuDriverGetVersion=put(13010),
        cuDeviceGetCount=put(1),
        cuDeviceGet=put(0),
        cuDeviceGetName=name,
        cuDeviceGetAttribute=attribute,
    )
    gpus, driver = doctor.find_gpus(lambda _: cuda)
    assert [gpu.model_dump() for gpu in gpus] == [{"name": "NVIDIA H100", "compute_capability": "9.0"}]
    assert driver == "driver for CUDA 13.1"


@pytest.mark.gpu
def test_a_real_device():
    if not doctor.find_gpus()[0]:
        pytest.skip(f"no GPU: {doctor.find_gpus()[1]}")
    assert doctor.examine().gpus


def test_command():
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "ort-cpu" in result.stdout and "processor" in result.stdout
