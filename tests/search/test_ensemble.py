"""Ensembles: their first member is the network of a run without one, and the rest is arithmetic and bookkeeping."""

import dataclasses
import json
import multiprocessing
import shutil
import signal
import time
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax

from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.backbones.build import build_searched
from dashdeploy.backbones.run import Run
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.task import Split
from dashdeploy.errors import InputError
from dashdeploy.inspect.inspection import inspect_run
from dashdeploy.search.config.phases import TimePlan, member_settings, phase_names, phases
from dashdeploy.search.pipeline import search
from dashdeploy.search.staging.directory import staging_path
from dashdeploy.search.training.time_limit import TimeLimit
from dashdeploy.search.training.train_phase import train_network

MEMBERS = 3
FILES = ["model.safetensors", "model.2.safetensors", "model.3.safetensors"]


@pytest.fixture(scope="module")
def together(small):
    return small.model_copy(update={"ensemble": MEMBERS})


@pytest.fixture(scope="module")
def lines():
    return []


@pytest.fixture(scope="module")
def run(waves_task, together, lines, tmp_path_factory):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = search(waves_task, together, tmp_path_factory.mktemp("ensemble") / "run", progress=lines.append)
    torch.set_num_threads(threads)
    return found


def member_outputs(run, inputs):
    """[members, samples, outputs]: each network by itself, built and filled here."""
    outputs = []
    for name in FILES[: run.members]:
        network = run.searched_model()
        inner = getattr(network, "network", network)
        inner.load_state_dict(load_file(run.path / name))
        with torch.inference_mode():
            outputs.append(network(inputs).double().numpy())
    return np.stack(outputs)


def test_the_first_member_is_the_network_of_a_run_without_an_ensemble(run, finished):
    for name in ("model.safetensors", "backbone.safetensors", "architecture.json", "samples.npz"):
        assert (run.path / name).read_bytes() == (finished.path / name).read_bytes(), name
    for name in ("searched", "backbone"):
        assert run.metrics[name] == finished.metrics[name]
    alone = [
        line for line in (run.path / "metrics.jsonl").read_text().splitlines() if '"retrain-' not in line
    ]
    assert alone == (finished.path / "metrics.jsonl").read_text().splitlines()


def test_every_member_is_the_network_of_its_seed(run, waves_task, small, tmp_path):
    """The second one is what a run would retrain with the next seed, if it had found the same."""
    (tmp_path / "checkpoints").mkdir()
    settings = small.model_copy(update={"seed": small.seed + 1})
    build = partial(build_searched, run.architecture)
    trained = train_network(build, waves_task, phases(settings)["retrain"], settings, tmp_path)
    stored = load_file(run.path / "model.2.safetensors")
    assert all(torch.equal(stored[name], weights) for name, weights in trained.weights.items())
    first = load_file(run.path / "model.safetensors")
    assert not any(
        torch.equal(stored[name], first[name]) for name in first if name.endswith("convs.0.weight")
    )


def test_the_largest_seed_is_followed_by_the_smallest(small):
    last = small.model_copy(update={"seed": 2**32 - 1})
    assert [member_settings(last, member).seed for member in (1, 2, 3)] == [2**32 - 1, 0, 1]


def test_the_model_gives_the_logarithm_of_the_mean_of_the_probabilities(run, waves_task):
    inputs = waves_task.test.inputs
    expected = softmax(member_outputs(run, inputs), axis=2).mean(0)
    with torch.inference_mode():
        outputs = run.ensemble_model()(inputs).double().numpy()
    np.testing.assert_allclose(np.exp(outputs), expected, atol=1e-6)  # float32's rounding
    np.testing.assert_allclose(softmax(outputs, axis=1), expected, atol=1e-6)


def test_metrics(run, waves_task, calibration_error_bin_by_bin):
    figures = run.metrics["ensemble"]
    assert list(run.metrics) == ["task", "metric", "searched", "backbone", "ensemble", "seconds"]
    assert list(figures) == ["members", "validation", "test", "ece", "members_test"]
    assert figures["members"] == run.members == MEMBERS
    for part, split in (("validation", waves_task.validation), ("test", waves_task.test)):
        targets = split.targets.numpy()
        probabilities = softmax(member_outputs(run, split.inputs), axis=2)
        assert figures[part] == pytest.approx((probabilities.mean(0).argmax(1) == targets).mean(), abs=1e-6)
        if part == "test":
            right = (probabilities.argmax(2) == targets).mean(1)
            assert figures["members_test"] == pytest.approx(right.tolist(), abs=1e-6)
            errors = [
                calibration_error_bin_by_bin(each, targets)
                for each in (probabilities[0], probabilities.mean(0))
            ]
            assert list(figures["ece"].values()) == pytest.approx(errors, abs=1e-5)
            assert errors[0] != errors[1]
    assert run.metrics["seconds"]["ensemble"] > 0


def test_a_run_without_an_ensemble_says_nothing_of_one(finished, waves_task):
    assert "ensemble" not in finished.metrics
    assert finished.members == 1
    inputs = waves_task.test.inputs
    with torch.inference_mode():
        assert torch.equal(finished.ensemble_model()(inputs), finished.searched_model()(inputs))


def test_progress_says_which_member(run, lines):  # noqa: ARG001 - the run fills the lines
    told = [line.partition(":")[0] for line in lines if line.startswith("training the searched network")]
    expected = [f"training the searched network, member {n} of 3" for n in (1, 2, 3)]
    assert list(dict.fromkeys(told)) == expected


def test_inspection_and_report_show_both(run):
    found = inspect_run(RunDirectory.load(run.path))
    figures = run.metrics["ensemble"]
    text = found.text
    assert "calibration error" in text
    assert "ensemble of 3 networks, test accuracy " in text
    for name in ("searched", "ensemble"):
        row = next(line.split() for line in text.splitlines() if line.startswith(f"{name} "))
        assert float(row[-1]) == pytest.approx(figures["ece"][name], rel=1e-2)
    page = (run.path / "report.html").read_text()
    assert "Ensemble of 3 networks" in page
    assert "ensemble, test accuracy" in page
    assert "calibration error" in page


def test_numbers_are_averaged_in_the_units_of_the_data(small, tmp_path):
    generator = np.random.default_rng(0)
    inputs = torch.from_numpy(generator.standard_normal((40, 1, 24)).astype("f4"))
    targets = 1000 + 300 * inputs.mean(2)
    options = DataOptions(predict="regression", normalize="channels")
    parts = [Split(inputs[a:b], targets[a:b]) for a, b in ((0, 24), (24, 32), (32, 40))]
    task = make_task("numbers", "regression", 1, *parts, options)
    quick = {"search_epochs": 1, "retrain_epochs": 2, "ensemble": 2}
    found = search(task, small.model_copy(update=quick), tmp_path / "run")
    expected = member_outputs(found, inputs[32:])
    with torch.inference_mode():
        outputs = found.ensemble_model()(inputs[32:]).double().numpy()
    np.testing.assert_allclose(outputs, expected.mean(0), rtol=1e-6)
    assert abs(expected[0] - expected[1]).max() > 1
    figures = found.metrics["ensemble"]
    assert figures["ece"] == {"searched": None, "ensemble": None}
    error = np.abs(outputs - targets[32:].double().numpy()).mean()
    assert figures["test"] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("test_data", [True, False])
def test_what_was_learned_from_judges_nothing(waves_task, together, tmp_path, test_data):
    task = waves_task if test_data else dataclasses.replace(waves_task, test=None)
    quick = {"search_epochs": 1, "retrain_epochs": 1, "refit": True, "ensemble": 2}
    found = search(task, together.model_copy(update=quick), tmp_path / "run")
    figures = found.metrics["ensemble"]
    assert figures["validation"] is None
    assert all((value is not None) == test_data for value in (figures["test"], *figures["ece"].values()))
    assert [value is not None for value in figures["members_test"]] == [test_data] * 2


def test_a_member_that_is_missing_is_named(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / "model.3.safetensors").unlink()
    with pytest.raises(InputError, match=r"it has no model\.3\.safetensors"):
        Run.load(tmp_path / "run")
    config = json.loads((run.path / "config.json").read_text())
    config["settings"]["ensemble"] = "many"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="ensemble = 'many' is not a number of members"):
        Run.load(tmp_path / "run")


def test_the_time_limit_counts_every_member(together):
    names = phase_names(together)
    assert names == ["search", "retrain", "retrain-2", "retrain-3", "backbone"]
    limit = TimeLimit(time.perf_counter() + 1000, names)
    assert limit.share("search") == pytest.approx(1000 * 3 / 15, rel=1e-3)
    assert limit.share("retrain-2") == pytest.approx(1000 / 3, rel=1e-3)  # it, a third one, and the backbone
    plan = TimePlan(together, dict.fromkeys(names, 10.0))
    assert str(plan) == "search 10 s, retrain 30 s (3 members), backbone 10 s"


def on_one_thread(task, settings, out):
    torch.set_num_threads(1)
    search(task, settings, out, resume=True)


def test_killed_within_a_member_and_after_one(waves_task, together, run, tmp_path):
    out = tmp_path / "run"
    history = staging_path(out) / "metrics.jsonl"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashdeploy.search.pipeline", "dashdeploy.backbones"])
    for epochs in (24 + 5, 36 + 1):  # in the second member; at the start of the third
        process = context.Process(target=on_one_thread, args=(waves_task, together, out))
        process.start()
        deadline = time.monotonic() + 240
        while not history.exists() or history.read_bytes().count(b"\n") < epochs:
            assert process.is_alive(), "the search ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert (staging_path(out) / "checkpoints" / "retrain.json").exists()
    assert (staging_path(out) / "checkpoints" / "retrain-2.json").exists()
    again = search(waves_task, together, out, resume=True)
    for name in (*FILES, "backbone.safetensors", "metrics.jsonl", "config.json", "architecture.json"):
        assert (again.path / name).read_bytes() == (run.path / name).read_bytes(), name
    assert again.metrics["ensemble"] == run.metrics["ensemble"]


def test_another_number_of_members_is_another_run(waves_task, together, small, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(dataclasses.replace(waves_task, loss=stop), small, tmp_path / "run")
    with pytest.raises(InputError, match="started with ensemble = 1, now it is 3"):
        search(waves_task, together, tmp_path / "run", resume=True)
