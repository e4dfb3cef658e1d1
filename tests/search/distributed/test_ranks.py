"""The processes of a run: which one this is, who started it, and what is refused."""

import sys

import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.distributed.ranks import (
    check_devices,
    devices_of,
    rank,
    started_by_others,
)


def settings(**values):
    return SearchSettings.preset("quick", **({"batch_size": 128} | values))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpus_that_are_not_here_are_exit_code_three(tmp_path, npz):
    words = ["search", "--data", str(npz), "--devices", "cuda:2", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 3
    assert "devices = 'cuda:2': torch sees no NVIDIA GPU" in result.stderr


def test_each_needs_its_part():
    with pytest.raises(InputError, match="8 processes share batches of 12 and 30 samples of validation"):
        check_devices(settings(devices="cpu:8"), 12, 30)
    with pytest.raises(InputError, match="4 processes share batches of 128 and 3 samples"):
        check_devices(settings(devices="cpu:4"), 1000, 3)
    check_devices(settings(devices="cpu:4"), 8, 4)
    check_devices(settings(devices="cpu"), 2, 1)


def test_a_run_on_one_device_is_no_part_of_anything(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert rank(devices_of(settings())) == 0
    assert rank(devices_of(settings(devices="cpu:4"))) == 3


def test_others_must_have_started_as_many(monkeypatch):
    devices = devices_of(settings(devices="cpu:2", nodes=2))
    with pytest.raises(InputError, match="nodes = 2: start the command on every machine with torchrun"):
        started_by_others(devices)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert started_by_others(devices)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="torchrun started 2 processes, and `devices=2` on 2 machines are 4"):
        started_by_others(devices)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("MASTER_PORT", "0")
    with pytest.raises(InputError, match="no port to meet at; use --standalone"):
        started_by_others(devices)


def test_what_was_started_wrongly_is_refused_before_anything_is_written(tmp_path, npz):
    words = ["search", "--data", str(npz), "--set", "nodes=2", "--devices=cpu", "--set", "batch_size=8"]
    for _ in range(2):
        result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
        assert result.exit_code == 1
        assert "nodes = 2: start the command on every machine with torchrun" in result.stderr
        assert not (tmp_path / "run.partial").exists()


def test_an_interactive_session_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(InputError, match="an interactive session is not; put it into a file"):
        check_devices(settings(devices="cpu:2"), 12, 30)
    check_devices(settings(devices="cpu"), 12, 30)


def test_as_many_processes_on_each_machine(monkeypatch):
    names = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="torchrun started more than 2 processes on this machine"):
        started_by_others(devices_of(settings(devices="cpu:2", nodes=2)))


@pytest.fixture
def one_gpu(monkeypatch):
    """Torch says that there is one GPU; nothing is computed on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)


@pytest.mark.usefixtures("one_gpu")
@pytest.mark.parametrize("devices", ["cuda:2", "cuda:8", "2", "auto:2"])
def test_more_gpus_than_there_are_are_refused(devices):
    count = devices.rpartition(":")[2]
    with pytest.raises(MissingCapabilityError) as refused:
        check_devices(settings(devices=devices), 1000, 100)
    assert str(refused.value) == (
        f"devices = '{devices}': torch sees 1 NVIDIA GPU on this machine; use 1, or cpu:{count}"
    )
    assert refused.value.exit_code == 3
    for fits in ("cuda", "cuda:1", "auto", "1", "cpu:2"):
        check_devices(settings(devices=fits), 1000, 100)


@pytest.mark.usefixtures("one_gpu")
def test_more_gpus_than_there_are_end_the_command_before_anything_is_written(tmp_path, npz):
    words = ["search", "--data", str(npz), "--devices", "cuda:2", "--set", "batch_size=8"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
    assert result.exit_code == 3
    assert result.stderr.count("\n") == 1
    assert "torch sees 1 NVIDIA GPU on this machine; use 1, or cpu:2" in result.stderr
    assert not (tmp_path / "run.partial").exists()
