"""Divergence, limits of time, precision, accumulation, logs."""

import csv
import dataclasses
import json
import struct

import pytest
import torch
from torch import nn

from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.progress import to_stderr
from dashdeploy.search import pipeline, prepare
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.pipeline import search
from dashdeploy.search.run_writer import RunWriter
from dashdeploy.search.staging.directory import staging_path
from dashdeploy.search.training import history as training_history
from dashdeploy.search.training import time_limit
from dashdeploy.search.training.evaluate import evaluate
from dashdeploy.search.training.time_limit import TimeLimit


def history(run):
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def result(run, phase):
    return json.loads((run.path / "checkpoints" / f"{phase}.json").read_text())


def few(small, **more):
    return small.model_copy(update={"search_epochs": 4, "retrain_epochs": 4} | more)


def poisoned(task, *steps):
    """The task with a loss that is not a number at these steps, counted over all trainings."""
    count = 0

    def loss(logits, targets):
        nonlocal count
        count += torch.is_grad_enabled()
        value = task.loss(logits, targets)
        return value * float("nan") if torch.is_grad_enabled() and count in steps else value

    return dataclasses.replace(task, loss=loss)


def test_a_divergence_goes_back_to_the_last_good_epoch_with_smaller_rates(waves_task, small, tmp_path, capfd):
    settings = few(small)
    # 4 steps an epoch: the third epoch of the search is spoilt, once.
    run = search(poisoned(waves_task, 10), settings, tmp_path / "run", progress=to_stderr)
    assert result(run, "search")["rollbacks"] == [
        {
            "epoch": 2,
            "reason": "search diverged: in epoch 3 the loss became nan in training, nan in validation",
        }
    ]
    assert "rollbacks" not in result(run, "retrain")
    assert [(r["phase"], r["epoch"]) for r in history(run)] == [
        (phase, epoch) for phase in ("search", "retrain", "backbone") for epoch in range(4)
    ]
    assert all(torch.isfinite(p).all() for p in run.searched_model().parameters())
    assert "with 0.3 times the learning rates" in capfd.readouterr().err
    clean = search(waves_task, settings, tmp_path / "clean")
    for ours, theirs in zip(history(run)[:2], history(clean)[:2], strict=True):
        assert ours == theirs
    assert history(run)[2] != history(clean)[2]


def test_smaller_rates_outlive_an_interruption(waves_task, small, tmp_path):
    settings = few(small)
    expected = search(poisoned(waves_task, 10), settings, tmp_path / "whole")
    task, steps = poisoned(waves_task, 10), 0

    def loss(logits, targets):
        nonlocal steps
        steps += torch.is_grad_enabled()
        if steps == 14:  # in the epoch after the one that was rolled back
            steps += 1
            raise KeyboardInterrupt
        return task.loss(logits, targets)

    with pytest.raises(KeyboardInterrupt):
        search(dataclasses.replace(waves_task, loss=loss), settings, tmp_path / "run")
    run = search(waves_task, settings, tmp_path / "run", resume=True)
    assert history(run) == history(expected)
    assert result(run, "search")["rollbacks"] == result(expected, "search")["rollbacks"]


def test_it_gives_up_after_three_times(waves_task, small, tmp_path):
    task = poisoned(waves_task, *range(1000))
    with pytest.raises(InputError, match=r"search diverged: .*lower the learning rate \(now 0.00081\)"):
        search(task, few(small), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_limit_of_time_ends_with_a_usable_result(waves_task, small, tmp_path):
    settings = small.model_copy(update={"search_epochs": 10_000, "retrain_epochs": 10_000})
    run = search(waves_task, settings, tmp_path / "run", max_seconds=3)
    for phase in ("search", "retrain", "backbone"):
        assert 1 <= result(run, phase)["epochs"] < 10_000
    # How good it is depends on the machine's pace; that it is what was measured does not.
    model = Run.load(run.path).searched_model()
    assert evaluate(model, waves_task.test, waves_task.metric) == run.metrics["searched"]["test"]


def test_what_is_left_is_shared_by_the_phases_that_are_left(monkeypatch):
    monkeypatch.setattr(time_limit.time, "perf_counter", lambda: 0.0)
    phases = ["search", "retrain", "backbone"]
    assert TimeLimit(None, phases).share("search") is None
    assert TimeLimit(90, phases).share("search") == 30
    assert TimeLimit(90, phases, before=50).share("retrain") == 20
    assert TimeLimit(90, phases, before=50, after=10).share("retrain") == 15
    assert TimeLimit(10, phases, before=50).share("retrain") == 1  # overdrawn
    limit = TimeLimit(90, phases, before=50)
    assert limit.without("backbone").share("retrain") == 40
    assert limit.share("retrain") == 20
    monkeypatch.setattr(time_limit.time, "perf_counter", lambda: 30.0)
    assert TimeLimit(90, phases).share("search") == 20


def test_what_comes_before_the_phases_counts(waves_task, small, tmp_path, monkeypatch):
    """Such as reading the data, and timing the steps."""
    planned, limited = [], []

    def plan(*arguments):
        planned.append(arguments[4])
        raise KeyboardInterrupt

    def limit(deadline, *_, **__):
        limited.append(deadline)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "plan_of_run", plan)
    for seconds in (60, None):
        with pytest.raises(KeyboardInterrupt):
            search(waves_task, small, tmp_path / "run", max_seconds=seconds, started=7.0)
    assert planned == [67.0, 907.0]
    monkeypatch.setattr(prepare, "plan_of_run", lambda *_: TimePlan(small, {}))
    monkeypatch.setattr(pipeline, "TimeLimit", limit)
    for number, seconds in enumerate((60, None)):
        with pytest.raises(KeyboardInterrupt):
            search(waves_task, small, tmp_path / f"run{number}", max_seconds=seconds, started=7.0)
    assert limited == [67.0, None]


def test_what_finished_phases_took_is_known_when_a_run_goes_on(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert RunWriter(tmp_path).seconds_spent(["search", "retrain"]) == 0
    (tmp_path / "checkpoints" / "search.json").write_text('{"seconds": 50}')
    assert RunWriter(tmp_path).seconds_spent(["search", "retrain"]) == 50


def test_gradients_of_several_batches_add_up(waves_task, small, tmp_path):
    """Two batches of 19 are one of 38 where nothing depends on the batch."""

    def first_losses(name, **more):
        settings = few(
            small,
            backbone="tcn",
            backbone_arguments={"levels": 2, "channels": 4, "dropout": 0.0},
            optimizer="sgd",
        )
        run = search(
            waves_task,
            settings.model_copy(update={"search_clip": 0.0} | more),
            tmp_path / name,
        )
        return [record["validation_loss"] for record in history(run)]

    one = first_losses("one", batch_size=38)
    two = first_losses("two", batch_size=19, accumulate=2)
    assert one == pytest.approx(two, rel=1e-3)


def test_mixed_precision_is_close_to_full_precision(waves_task, small, tmp_path):
    settings = few(small, precision="bf16-mixed", retrain_epochs=12)
    run = search(waves_task, settings, tmp_path / "run")
    assert all(parameter.dtype == torch.float32 for parameter in run.searched_model().parameters())
    assert (
        run.metrics["searched"]["test"] >= 0.9
    )  # 1.0 with most seeds, as in full precision; chance is a third


def test_the_history_as_a_table(waves_task, small, tmp_path):
    run = search(waves_task, few(small, log="csv"), tmp_path / "run")
    with (run.path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], int(row["epoch"])) for row in rows] == [
        (record["phase"], record["epoch"]) for record in history(run)
    ]
    assert float(rows[-1]["validation_accuracy"]) == history(run)[-1]["validation_accuracy"]


def scalars_of(file):
    """(tag, step, value) of a TensorBoard event file, whose records are length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    content, place, found = file.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = Event.FromString(content[place + 12 : place + 12 + length])
        found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
        place += 12 + length + 4
    return found


def test_the_history_as_event_files(waves_task, small, tmp_path):
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    run = search(waves_task, few(small, log="tensorboard"), tmp_path / "run")
    for phase in ("search", "retrain", "backbone"):
        (file,) = (run.path / "logs" / phase).glob("events.*")
        written = [value for tag, _, value in scalars_of(file) if tag == f"{phase}/validation_loss"]
        records = [record for record in history(run) if record["phase"] == phase]
        assert written == pytest.approx([record["validation_loss"] for record in records])


def test_tensorboard_that_is_not_installed_is_named(waves_task, small, tmp_path, monkeypatch):
    monkeypatch.setattr(training_history, "find_spec", lambda _: None)
    with pytest.raises(MissingCapabilityError, match="pip install tensorboard"):
        search(waves_task, few(small, log="tensorboard"), tmp_path / "run")
    assert not staging_path(tmp_path / "run").exists()


def test_images(tmp_path, small):
    """A 2-D supernet of a WRN, on images whose class is where the bright square is."""
    from dashdeploy.data.from_arrays import make_task
    from dashdeploy.data.task import Split

    torch.manual_seed(0)

    def split(count):
        labels = torch.arange(count) % 2
        images = 0.3 * torch.randn(count, 3, 12, 12)
        images[labels == 1, :, :6] += 0.5
        return Split(images, labels)

    task = make_task(
        "squares", "classification", 2, split(64), split(16), split(32), labels=("below", "above")
    )
    settings = few(small, backbone_arguments={"depth": 10, "widen": 1}, retrain_arguments={"widen": 2})
    run = search(task, settings, tmp_path / "run")
    assert run.architecture.backbone == "wide_resnet"
    assert run.architecture.arguments["widen"] == 2
    assert len(run.architecture.layers) == 7
    convs = [m for m in run.searched_model().modules() if isinstance(m, nn.Conv2d)]
    assert {conv.out_channels for conv in convs} == {16, 32, 64, 128}
    assert run.metrics["searched"]["test"] >= 0.9
