"""The processes of a run: two on one machine do what one does, whoever starts them, and end together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.search.config.devices import Devices
from dashdeploy.search.distributed.launch import started_here
from dashdeploy.search.distributed.processes import (
    ProcessEnvironment,
    lost_connection_named,
    slurm_meeting,
)
from dashdeploy.search.distributed.ranks import local_rank, rank, started_by_others
from dashdeploy.search.distributed.watch import LostProcessError

NET = """
import os
import pathlib
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_channels, outputs):
        super().__init__()
        layers = []
        for inputs in (in_channels, 8, 8):
            layers += [nn.Conv1d(inputs, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU()]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(8, outputs)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(-1))


class Told(Net):
    \"\"\"Leaves in a file which architecture parameters this process has after every validation.\"\"\"

    def forward(self, x):
        if not self.training and len(x) > 2:
            alphas = [getattr(each, "alpha", None) for each in self.body]
            told = [a.detach().flatten().tolist() for a in alphas if a is not None]
            with pathlib.Path(f"alpha.{os.environ.get('LOCAL_RANK', '0')}").open("a") as file:
                file.write(repr(told) + "\\n")
        return super().forward(x)
"""
WORDS = (
    "--kernel-sizes 3,5 --dilations 1,3 --search-epochs 3 --retrain-epochs 3 --set batch_size=16 "
    "--set gumbel_noise=true --set learning_rate=0.03 --set latency_weight=0.1 --set latency_costs=estimate "
    "--set precision=32-true"  # in bfloat16, another order of sums shows in the third digit
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "two_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("two_net", None)


def command(waves_file, out, devices, *more, net="Net"):
    words = [
        sys.executable,
        "-m",
        "dashdeploy",
        "search",
        "--data",
        waves_file,
        "--backbone",
        f"two_net:{net}",
    ]
    return [str(word) for word in [*words, *WORDS.split(), "--devices", devices, "--out", out, *more]]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


def finish(words, cwd):
    done = subprocess.run(
        words, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def history(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_alike(one, two):
    """The same run but for the order of sums."""
    for mine, theirs in zip(history(one), history(two), strict=True):
        assert (mine["phase"], mine["epoch"]) == (theirs["phase"], theirs["epoch"])
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-5)
        assert mine["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=1e-5)
        assert mine["validation_accuracy"] == theirs["validation_accuracy"]
        assert mine.get("kernels") == theirs.get("kernels")
    for name in ("model.safetensors", "backbone.safetensors"):
        mine, theirs = load_file(one / name), load_file(two / name)
        for key, tensor in mine.items():
            torch.testing.assert_close(tensor, theirs[key], rtol=1e-4, atol=1e-5)
    assert (
        json.loads((one / "metrics.json").read_text())["searched"]
        == (json.loads((two / "metrics.json").read_text())["searched"])
    )


@pytest.mark.slow
def test_two_processes_do_what_one_does(here, waves_file):
    result = CliRunner().invoke(app, command(waves_file, "one", "cpu")[3:])
    assert result.exit_code == 0, result.stderr
    done = finish(command(waves_file, "two", "cpu:2", net="Told"), here)
    assert done.stdout.count("run two: waves") == 1
    assert done.stderr.count("searching 3 convolutions") == 1
    assert_alike(here / "one", here / "two")
    first, second = ((here / f"alpha.{number}").read_text() for number in range(2))
    found = [line for line in first.splitlines() if line != "[]"]
    assert len(found) >= 3 and len(set(found)) >= 3
    assert found == [line for line in second.splitlines() if line != "[]"]


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ctrl-c", "kill -9", "kill -9 the other"])
def test_both_end_and_go_on(here, waves_file, way):
    """The first half, ended in one of three ways, and the rest give the run that was not ended."""
    finish(command(waves_file, "whole", "cpu:2", "--search-epochs", "12"), here)
    words = command(waves_file, "run", "cpu:2", "--search-epochs", "12")
    process = subprocess.Popen(words, cwd=here, env=environment(), stderr=subprocess.PIPE, text=True)
    wait_for((here / "run.partial" / "checkpoints" / "search.ckpt").exists)
    (other,) = children(process.pid)
    if way == "ctrl-c":
        process.send_signal(signal.SIGINT)
    else:
        os.kill(process.pid if way == "kill -9" else other, signal.SIGKILL)
    _, said = process.communicate(timeout=600)
    assert process.returncode == {"ctrl-c": 130, "kill -9": -9, "kill -9 the other": 1}[way], said
    wait_for(lambda: not Path(f"/proc/{other}").exists(), 60)
    if way == "kill -9 the other":
        assert "error: a process of this run ended with exit code -9" in said
    assert "Traceback" not in said
    assert not (here / "run").exists()
    finish([*words, "--resume"], here)
    assert (here / "run" / "metrics.jsonl").read_bytes() == (here / "whole" / "metrics.jsonl").read_bytes()
    for name in ("model.safetensors", "backbone.safetensors", "architecture.json"):
        assert (here / "run" / name).read_bytes() == (here / "whole" / name).read_bytes()


@pytest.mark.slow
def test_processes_share_the_trials_of_a_tuning(here, waves_file):
    grid = "--tune grid --set tune_epochs=2 --set tune_learning_rates=0.1,0.03 --set tune_momenta=0.9,0.95"
    for out, devices in (("one", "cpu"), ("two", "cpu:2")):
        finish([*command(waves_file, out, devices), *grid.split()], here)
    one, two = (json.loads((here / out / "tuning.json").read_text()) for out in ("one", "two"))
    assert one["chosen"] == two["chosen"]
    assert len(one["trials"]) == len(two["trials"])


@pytest.mark.slow
def test_processes_share_the_trainings_of_a_short_list(here, waves_file):
    lists = "--set latency_weight=0 --set shortlist=3 --set shortlist_folds=2 --set shortlist_epochs=1"
    for out, devices in (("one", "cpu"), ("two", "cpu:2")):
        done = finish([*command(waves_file, out, devices), *lists.split()], here)
    one, two = (json.loads((here / out / "shortlist.json").read_text()) for out in ("one", "two"))
    assert one == two
    assert len(one["candidates"]) >= 2
    # The first process says what it trains: every second training.
    assert done.stderr.count("short list, candidate") == len(one["candidates"])


@pytest.mark.slow
def test_processes_train_the_members_of_an_ensemble_together(here, waves_file):
    for out, devices in (("one", "cpu"), ("two", "cpu:2")):
        finish([*command(waves_file, out, devices), "--ensemble", "2"], here)
    assert_alike(here / "one", here / "two")
    one, two = (load_file(here / out / "model.2.safetensors") for out in ("one", "two"))
    for name, weights in one.items():
        torch.testing.assert_close(weights, two[name], rtol=1e-4, atol=1e-5)
    first, second = (json.loads((here / out / "metrics.json").read_text()) for out in ("one", "two"))
    assert first["ensemble"]["members"] == second["ensemble"]["members"] == 2


def torchrun(words, *more):
    launcher = [sys.executable, "-m", "torch.distributed.run", *more]
    return [*map(str, launcher), "-m", "dashdeploy", *words[3:]]


@pytest.mark.slow
def test_torchrun_starts_them_as_well(here, waves_file):
    finish(command(waves_file, "one", "cpu"), here)
    words = command(waves_file, "two", "cpu:2")
    finish(torchrun(words, "--standalone", "--nproc-per-node", 2), here)
    assert_alike(here / "one", here / "two")


TWO_RUNS = """
import sys

import dashdeploy

if __name__ == "__main__":
    for out in ("first", "second"):
        dashdeploy.search(
            sys.argv[1], "two_net:Net", out=out, devices="cpu:2", kernel_sizes=(3, 5), dilations=(1, 3),
            search_epochs=1, retrain_epochs=1, batch_size=16, tune="grid", tune_epochs=1,
            tune_learning_rates=(0.1,), tune_storage="sqlite:///study.db",
        )
"""


@pytest.mark.slow
def test_a_program_of_torchrun_may_search_twice(here, waves_file):
    """With a study of its own at a storage that no process has made before."""
    (here / "two_runs.py").write_text(TWO_RUNS)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    finish([*launcher, "two_runs.py", str(waves_file)], here)
    for out in ("first", "second"):
        assert len(json.loads((here / out / "tuning.json").read_text())["trials"]) == 4


@pytest.mark.slow
def test_torchrun_starts_them_on_two_machines(here, waves_file):
    """Two agents that meet at a port are two machines to torchrun, and share the folder as machines have to."""
    finish(command(waves_file, "one", "cpu"), here)
    words = command(waves_file, "two", "cpu", "--set", "nodes=2")
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    meeting = ["--nnodes", 2, "--nproc-per-node", 1, "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    agents = [
        subprocess.Popen(
            torchrun(words, *meeting, f"127.0.0.1:{port}"),
            cwd=here,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [agent.communicate(timeout=600) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    assert "".join(out for out, _ in said).count("run two: waves") == 1
    assert_alike(here / "one", here / "two")


@pytest.mark.slow
def test_what_torchrun_started_goes_on_after_one_is_killed(here, waves_file):
    words = command(waves_file, "run", "cpu:2", "--search-epochs", "12")
    alone = ["--standalone", "--nproc-per-node", 2]
    finish(torchrun(command(waves_file, "whole", "cpu:2", "--search-epochs", "12"), *alone), here)
    agent = subprocess.Popen(torchrun(words, *alone), cwd=here, env=environment(), stderr=subprocess.DEVNULL)
    wait_for((here / "run.partial" / "checkpoints" / "search.ckpt").exists)
    os.kill(children(agent.pid)[-1], signal.SIGKILL)
    assert agent.wait(120) == 1
    assert not (here / "run").exists()
    finish(torchrun([*words, "--resume"], *alone), here)
    assert (here / "run" / "metrics.jsonl").read_bytes() == (here / "whole" / "metrics.jsonl").read_bytes()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two NVIDIA GPUs")
def test_two_gpus_do_what_one_does(here, waves_file):
    finish(command(waves_file, "one", "cuda"), here)
    finish(command(waves_file, "two", "cuda:2"), here)
    for mine, theirs in zip(history(here / "one"), history(here / "two"), strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-2)


SLURM = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "n[7-8]",
}


def test_a_step_of_slurm_tells_each_its_part(monkeypatch):
    devices = Devices("cpu", 2, 2)
    for name, value in (SLURM | {"SLURM_JOB_ID": "11", "SLURM_STEP_ID": "5"}).items():
        monkeypatch.setenv(name, value)
    assert started_by_others(devices)
    assert (rank(devices), local_rank(devices)) == (3, 1)
    assert slurm_meeting() == {"MASTER_ADDR": "n7", "MASTER_PORT": str(15000 + 97 * 11 + 5)}
    found = ProcessEnvironment(devices, alone=False)
    assert (found.global_rank(), found.local_rank(), found.node_rank(), found.world_size()) == (3, 1, 1, 4)
    alone = ProcessEnvironment(devices, alone=True)
    assert (alone.global_rank(), alone.world_size()) == (0, 1)
    # Within the batch script itself, whose job has four tasks, the command starts its own processes.
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert not started_by_others(Devices("cpu", 2))


def test_nobody_else_gets_the_port_before_they_meet(tmp_path, monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with started_here(Devices("cpu", 1), tmp_path / "run"), socket.socket() as other:
        os.environ["SET_MEANWHILE"] = "by another"
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(os.environ["MASTER_PORT"])))
    assert "MASTER_PORT" not in os.environ
    assert os.environ.pop("SET_MEANWHILE") == "by another"


@pytest.mark.parametrize(
    "words",
    ["[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error", "Gloo connectFullMesh failed"],
)
def test_a_lost_connection_is_named(words):
    said = "the connection to another process of this run is lost"
    with pytest.raises(LostProcessError, match=said), lost_connection_named():
        raise RuntimeError(words)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="gloomy"), lost_connection_named():
        raise RuntimeError("shapes differ in gloomy.py")
