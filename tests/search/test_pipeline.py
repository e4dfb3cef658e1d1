"""A whole search on small data: what it writes, and how it refuses."""

import dataclasses
import json
from importlib.metadata import version

import numpy as np
import pytest
import torch

from dashdeploy.artifacts.run import SAMPLES_NAME
from dashdeploy.backbones.run import Run
from dashdeploy.data.from_arrays import DataOptions, make_task, task_from_arrays
from dashdeploy.data.task import Split, Task
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.progress import to_stderr
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.staging.directory import staging_path
from dashdeploy.search.training.evaluate import evaluate


def test_the_run_directory_has_what_the_contract_names(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        "architecture.json",
        "backbone.safetensors",
        "checkpoints",
        "config.json",
        "metrics.json",
        "metrics.jsonl",
        "model.safetensors",
        "report.html",
        "samples.npz",
    }
    metrics = json.loads((finished.path / "metrics.json").read_text())
    assert list(metrics) == ["task", "metric", "searched", "backbone", "seconds"]
    assert (metrics["task"], metrics["metric"]) == ("waves", "accuracy")
    assert list(metrics["searched"]) == list(metrics["backbone"]) == ["validation", "test"]
    assert list(metrics["seconds"]) == ["search", "tune", "retrain", "backbone"]
    assert all(metrics["seconds"][phase] > 0 for phase in ("search", "retrain", "backbone"))


def test_config_records_everything_the_run_was_started_with(finished, waves_file, small):
    config = json.loads((finished.path / "config.json").read_text())
    assert config["task"] == "waves"
    assert config["source"]["path"] == str(waves_file)
    assert len(config["source"]["sha256"]) == 64
    assert (config["input_shape"], config["labels"], config["seed"]) == ([1, 24], ["0", "1", "2"], 7)
    assert config["settings"] == config["asked"] == small.model_dump(mode="json")
    assert config["plan"] == {}  # all epochs were given
    assert config["versions"]["torch"] == version("torch")
    assert config["samples"] == {"train": 76, "validation": 14, "test": 60}


def test_it_learns_the_task(finished):
    assert finished.metrics["searched"]["test"] >= 0.95
    assert finished.metrics["backbone"]["test"] >= 0.95


def test_architecture_lists_every_searched_convolution_in_order(finished):
    architecture = finished.architecture
    assert [layer.name for layer in architecture.layers] == [
        f"blocks.{block}.convs.{conv}" for block in range(3) for conv in range(3)
    ]
    assert set(architecture.kept) == {"blocks.0.shortcut.0", "blocks.1.shortcut.0"}
    for layer in architecture.layers:
        alpha = np.array(layer.alpha)
        assert alpha.shape == (2, 2)
        assert alpha.sum() == pytest.approx(1, abs=1e-6)
        k, d = np.unravel_index(alpha.argmax(), alpha.shape)
        assert (layer.kernel_size, layer.dilation) == ((3, 4)[k], (1, 3)[d])


def test_the_models_that_are_read_back_have_the_metrics_that_were_written(finished, waves_task):
    run = Run.load(finished.path)
    for model, scores in (
        (run.searched_model(), run.metrics["searched"]),
        (run.backbone_model(), run.metrics["backbone"]),
    ):
        assert not model.training
        assert evaluate(model, waves_task.test, waves_task.metric) == scores["test"]
        assert evaluate(model, waves_task.validation, waves_task.metric) == scores["validation"]


def test_the_best_epoch_on_validation_is_kept(finished):
    records = [json.loads(line) for line in (finished.path / "metrics.jsonl").read_text().splitlines()]
    for phase, label in (("retrain", "searched"), ("backbone", "backbone")):
        values = [record["validation_accuracy"] for record in records if record["phase"] == phase]
        assert len(values) == 12
        assert finished.metrics[label]["validation"] == max(values)
        marked = json.loads((finished.path / "checkpoints" / f"{phase}.json").read_text())
        assert marked["best_epoch"] == max(range(12), key=lambda epoch: (values[epoch], epoch))
    searched = [record for record in records if record["phase"] == "search"]
    assert len(searched[0]["kernels"]) == len(searched[0]["entropy"]) == 9
    assert searched[-1]["kernels"] == [
        [layer.kernel_size, layer.dilation] for layer in finished.architecture.layers
    ]


def test_samples_are_real_validation_inputs(finished, waves_task):
    with np.load(finished.path / "samples.npz", allow_pickle=False) as samples:
        np.testing.assert_array_equal(samples["inputs"], waves_task.validation.inputs.numpy())
        np.testing.assert_array_equal(samples["targets"], waves_task.validation.targets.numpy())


def test_it_is_quiet_but_for_its_own_progress(waves_task, small, tmp_path, capfd, recwarn):
    quick = small.model_copy(update={"search_epochs": 1, "retrain_epochs": 2})
    search(waves_task, quick, tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in recwarn if "lightning" in str(warning.filename)] == []
    search(waves_task, quick, tmp_path / "again", progress=to_stderr)
    out, err = capfd.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "searching 9 convolutions",
        "kept as it is",
        "searching kernels",
        *["training the searched network"] * 2,
        *["training the backbone"] * 2,
    ]


def test_divergence_is_named(waves_task, small, tmp_path):
    wild = small.model_copy(update={"search_learning_rate": 1e30, "search_clip": 0.0})
    with pytest.raises(
        InputError, match=r"search diverged: in epoch \d+ the loss became .* lower the learning"
    ):
        search(waves_task, wild, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_disk_without_room_is_one_line(waves_task, small, tmp_path, room_for):
    said = r"cannot write .*run\.partial: File too large; choose an `out`"
    with room_for(20_000), pytest.raises(InputError, match=said):  # a checkpoint is larger than that
        search(waves_task, small, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_of_the_data_s_that_is_gone_is_not_the_run_s(waves_task, small, tmp_path):
    def augment(inputs):
        (tmp_path / "noise.wav").read_bytes()
        return inputs

    with pytest.raises(FileNotFoundError, match=r"noise\.wav"):
        search(dataclasses.replace(waves_task, augment=augment), small, tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_one_line(waves_task, small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/run.partial: Not a directory"):
        search(waves_task, small, tmp_path / "file" / "run")


def test_what_cannot_work_is_refused_before_anything_is_written(waves_task, small, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(InputError, match="`backbone=resnet1e`"):
        search(waves_task, small.model_copy(update={"backbone": "resnet1e"}), out)
    if not torch.cuda.is_available():
        with pytest.raises(MissingCapabilityError, match="torch sees no NVIDIA GPU"):
            search(waves_task, small.model_copy(update={"devices": "cuda"}), out)
    with pytest.raises(InputError, match="1 training samples are too few"):
        search(with_training(waves_task, 1), small, out)
    assert list(tmp_path.iterdir()) == []
    assert not staging_path(out).exists()


def test_a_batch_is_at_most_the_training_data(waves_task, small, tmp_path):
    quick = small.model_copy(update={"search_epochs": 1, "retrain_epochs": 1, "batch_size": 4096})
    run = search(waves_task, quick, tmp_path / "run")
    assert run.metrics["searched"]["test"] > 0


def test_dense_prediction(small, tmp_path):
    """Every position gets a class: the sign of the sum of its two neighbours."""
    torch.manual_seed(0)

    def split(count):
        x = torch.randn(count, 1, 20)
        near = torch.nn.functional.pad(x, (1, 1))
        return Split(x, ((near[..., :-2] + near[..., 2:])[:, 0] > 0).long())

    parts = [split(160), split(20), split(40)]
    task = make_task("signs", "classification", 2, *parts, dense=True, labels=("below", "above"))
    few = small.model_copy(update={"search_epochs": 2, "retrain_epochs": 8})
    run = search(task, few, tmp_path / "run")
    assert run.architecture.arguments["dense"] is True
    assert run.metrics["searched"]["test"] >= 0.85  # chance is 0.5
    assert run.searched_model()(task.test.inputs).shape == (40, 2, 20)


def with_training(task: Task, count: int) -> Task:
    few = Split(task.train.inputs[:count], task.train.targets[:count])
    return dataclasses.replace(task, train=few, source={})


def test_a_regression_run_gives_out_a_model_in_the_data_s_own_units(small, tmp_path):
    """Means of series around 50 are learned scaled; the run's model takes and gives them as they are."""
    generator = torch.Generator().manual_seed(0)

    def split(count):
        x = torch.randn(count, 1, 16, generator=generator) + 2 * torch.randn(count, 1, 1, generator=generator)
        return Split(10 * x + 50, 1000 * x.mean(2))

    options = DataOptions(normalize="channels", metric="r2")
    parts = [split(160), split(20), split(40)]
    task = make_task("means", "regression", 1, *parts, options)
    few = small.model_copy(update={"search_epochs": 2, "retrain_epochs": 10})
    run = search(task, few, tmp_path / "run")
    assert run.metrics["searched"]["test"] > 0.8
    inputs, targets = parts[2]
    with torch.inference_mode():
        predicted = run.searched_model()(inputs)
    assert float(1 - (predicted - targets).square().sum() / (targets - targets.mean()).square().sum()) > 0.8
    with np.load(run.path / SAMPLES_NAME) as samples:
        torch.testing.assert_close(torch.from_numpy(samples["inputs"]), parts[1].inputs, atol=1e-4, rtol=1e-4)


def test_series_that_differ_in_size_are_learned_by_shape_and_size(small, tmp_path):
    """Four classes: two shapes, each small or large. Scaled alike, the small ones are flat; by themselves, alike."""
    generator = np.random.default_rng(0)

    def split(count):
        y = generator.integers(0, 4, count)
        at = np.arange(32) / 32 + generator.random((count, 1))
        wave = np.sin(2 * np.pi * np.where(y % 2, 2, 4)[:, None] * at) + 0.1 * generator.standard_normal(
            (count, 32)
        )
        return (wave * 10 ** (generator.uniform(0, 2, count) - 3 * (y > 1))[:, None])[:, None], y

    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), (*split(200), *split(60)), strict=True))
    task = task_from_arrays("sizes", "sizes.npz", arrays)
    few = small.model_copy(update={"search_epochs": 2, "retrain_epochs": 20})
    run = search(task, few, tmp_path / "run")
    assert run.metrics["searched"]["test"] > 0.9  # chance is 0.25, and 0.5 without shapes or sizes
    assert run.config["input_shape"] == [1, 32]
    x = torch.from_numpy(arrays["x_test"]).float()
    with torch.inference_mode():
        found = run.searched_model()(x).argmax(1).numpy()
    assert (found == arrays["y_test"]).mean() == pytest.approx(run.metrics["searched"]["test"])


def test_what_the_settings_leave_open_is_planned_and_kept(waves_task, tmp_path):
    """The run says its plan, and `config.json` tells what was asked for from what came of it."""
    asked = SearchSettings.preset(
        "quick", width=4, kernel_sizes=(3,), dilations=(1, 3), search_steps=60, retrain_steps=100, shortlist_steps=60,
        shortlist=2, devices="cpu", seed=7,
    )  # fmt: skip
    said = []
    run = search(waves_task, asked, tmp_path / "run", progress=said.append, max_seconds=60)
    (plan,) = [line for line in said if line.startswith("plan: ")]
    assert plan.startswith("plan: search ") and "backbone" in plan
    assert run.config["asked"]["retrain_epochs"] is None
    settings = run.config["settings"]
    assert (settings["batch_size"], settings["shortlist_folds"], settings["refit"]) == (9, 3, True)
    assert set(run.config["plan"]) == {"search", "shortlist", "retrain", "backbone"}
    assert sum(run.config["plan"].values()) < 60
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert len([line for line in lines if line["phase"] == "retrain"]) == settings["retrain_epochs"]


def test_a_run_goes_on_with_the_plan_that_it_has(waves_task, tmp_path, monkeypatch):
    from dashdeploy.search import pipeline, time_plan

    asked = SearchSettings.preset(
        "quick", width=4, kernel_sizes=(3,), dilations=(1, 3), search_steps=60, retrain_steps=100, shortlist=1,
        devices="cpu", seed=7,
    )  # fmt: skip
    whole = search(waves_task, asked, tmp_path / "whole")

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pipeline, "_train", stop)
        search(waves_task, asked, tmp_path / "run")
    # On a machine that is a thousand times as slow now, it would be planned otherwise.
    monkeypatch.setattr(time_plan, "measured_steps", stop)
    resumed = search(waves_task, asked, tmp_path / "run", resume=True)
    assert resumed.config["settings"] == whole.config["settings"]
    assert (resumed.path / "model.safetensors").read_bytes() == (
        whole.path / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("changes", "backbone"),
    [
        ({}, "listed"),
        ({"reparameterize": True}, None),
        ({"scale_samples": True}, None),
        ({"searched_arguments": {"patch": 2}}, None),
    ],
)
def test_the_backbone_has_a_figure_from_the_short_list_only_if_it_learned_there(
    waves_task, small, tmp_path, changes, backbone
):
    quick = {"search_epochs": 1, "retrain_epochs": 1, "shortlist": 2, "shortlist_margin": 0.0, "refit": True}
    run = search(waves_task, small.model_copy(update=quick | changes), tmp_path / "run")
    rows = json.loads((run.path / "shortlist.json").read_text())
    figures = {name: run.metrics[name]["validation"] for name in ("searched", "backbone")}
    assert figures["searched"] == rows["candidates"][rows["chosen"]]["validation"]
    assert figures["backbone"] == (None if backbone is None else rows["candidates"][-1]["validation"])


def test_a_task_without_test_data(waves_task, small, finished, tmp_path):
    """The network is the same; what nobody measured is null."""
    run = search(dataclasses.replace(waves_task, test=None), small, tmp_path / "run")
    assert run.config["samples"] == finished.config["samples"] | {"test": 0}
    for network in ("searched", "backbone"):
        assert run.metrics[network] == {"validation": finished.metrics[network]["validation"], "test": None}
    weights = [(each.path / "model.safetensors").read_bytes() for each in (run, finished)]
    assert weights[0] == weights[1]
    reports = [(each.path / "report.html").read_text() for each in (run, finished)]
    assert ["There were no test data." in report for report in reports] == [True, False]
