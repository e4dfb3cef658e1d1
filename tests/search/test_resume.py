"""A killed search goes on as if nothing had happened, bit for bit."""

import dataclasses
import json
import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.pipeline import join, search
from dashdeploy.search.staging.directory import staging_path
from dashdeploy.search.staging.run_config import check_same, run_config, stored_plan
from dashdeploy.search.training.history import append_record, forget_from

SAME = [
    "architecture.json",
    "model.safetensors",
    "backbone.safetensors",
    "metrics.jsonl",
    "samples.npz",
    "config.json",
]


BACKBONE_PHASE = ("metrics.json", "samples.npz", "backbone.safetensors", "checkpoints/backbone.json")


def assert_same_run(run: Run, expected: Run):
    for name in SAME:
        assert (run.path / name).read_bytes() == (expected.path / name).read_bytes(), name
    mine, theirs = (
        {key: value for key, value in each.metrics.items() if key != "seconds"} for each in (run, expected)
    )
    assert mine == theirs


@pytest.fixture(scope="module")
def processes():
    """Starts processes from one that has imported the search: an import takes longer than the search."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashdeploy.search.pipeline", "dashdeploy.backbones"])
    return context


def epochs(history):
    return history.read_bytes().count(b"\n") if history.exists() else 0


@dataclasses.dataclass
class Waiting:
    """A loss that is not given any more once the history has so many epochs, until the process is killed."""

    loss: Callable
    history: Path
    lines: int

    def __call__(self, *arguments):
        while epochs(self.history) >= self.lines:
            time.sleep(0.01)
        return self.loss(*arguments)


def on_one_thread(task, settings, out):
    torch.set_num_threads(1)  # whatever the environment of the process was that this one comes from
    search(task, settings, out, resume=True)


def kill_after(lines, processes, task, settings, out):
    """Run the search in a process of its own and kill it once the history has this many epochs."""
    history = staging_path(out) / "metrics.jsonl"
    waiting = dataclasses.replace(task, loss=Waiting(task.loss, history, lines))
    process = processes.Process(target=on_one_thread, args=(waiting, settings, out))
    process.start()
    deadline = time.monotonic() + 240
    try:
        while epochs(history) < lines:
            assert process.is_alive(), "the search ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL
    assert epochs(history) == lines


def test_killed_in_every_phase(processes, waves_task, small, finished, tmp_path):
    out = tmp_path / "run"
    for epochs_of_the_run in (4, 12 + 5, 24 + 3):
        kill_after(epochs_of_the_run, processes, waves_task, small, out)
    assert_same_run(search(waves_task, small, out, resume=True), finished)
    assert not staging_path(out).exists()


def test_interrupted_by_the_user(waves_task, small, finished, tmp_path):
    steps = 0

    def loss(logits, targets):
        nonlocal steps
        steps += 1
        if steps == 40:
            raise KeyboardInterrupt
        return waves_task.loss(logits, targets)

    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(dataclasses.replace(waves_task, loss=loss), small, out)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_same_run(search(waves_task, small, out, resume=True), finished)


def test_two_processes_do_not_share_an_unfinished_run(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, "metrics.json")
    with (
        FileLock(staging_path(out) / ".lock"),
        pytest.raises(InputError, match=r"wait, or choose another `out`"),
    ):
        search(waves_task, small, out, resume=True)


def test_a_damaged_checkpoint_is_named(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, *BACKBONE_PHASE)
    checkpoint = staging_path(out) / "checkpoints" / "backbone.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"backbone.ckpt is damaged; delete it .* and resume"):
        search(waves_task, small, out, resume=True)
    checkpoint.unlink()
    assert_same_run(search(waves_task, small, out, resume=True), finished)


def test_a_run_that_was_started_before_the_mark_had_the_architecture(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, *BACKBONE_PHASE)
    path = staging_path(out) / "checkpoints" / "search.json"
    mark = json.loads(path.read_text())
    assert mark.pop("architecture") == finished.architecture.model_dump()
    path.write_text(json.dumps(mark))
    assert_same_run(search(waves_task, small, out, resume=True), finished)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("checkpoints/search.json", "{", r"search\.json is damaged .*; delete it .* and resume"),
        (
            "checkpoints/search.json",
            '{"seconds": 1, "architecture": {}}',
            r"what the phase search left in .* cannot be read .*; delete .*search\.json .* and resume",
        ),
        (
            "model.safetensors",
            "nothing",
            r"what the phase retrain left in .* cannot be read .*; delete .*retrain\.json .* and resume",
        ),
    ],
    ids=["mark", "architecture", "weights"],
)
def test_a_damaged_result_is_named(waves_task, small, finished, tmp_path, name, content, line):
    out = interrupted(finished, tmp_path, *BACKBONE_PHASE)
    (staging_path(out) / name).write_text(content)
    with pytest.raises(InputError, match=line) as caught:
        search(waves_task, small, out, resume=True)
    assert "\n" not in str(caught.value)


def test_leftovers_of_a_killed_write_are_removed(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, "metrics.json")
    for name in ("model.part", "checkpoints/backbone.part", ".metrics.json.x1y2", ".report.html.z3"):
        (staging_path(out) / name).write_text("half")
    run = search(waves_task, small, out, resume=True)
    names = {path.name for path in run.path.rglob("*")}
    assert names == {path.name for path in finished.path.rglob("*")}


def interrupted(finished, tmp_path, *without):
    """The finished run as it was at an earlier moment: under its partial name, without what came later."""
    out = tmp_path / "run"
    shutil.copytree(finished.path, staging_path(out))
    for name in without:
        (staging_path(out) / name).unlink()
    return out


@pytest.mark.parametrize(
    "without",
    [
        ["metrics.json"],
        BACKBONE_PHASE,  # after the last epoch's checkpoint, before the weights were written
        BACKBONE_PHASE[:2] + BACKBONE_PHASE[3:],  # after the weights, before the phase was marked as finished
        [*BACKBONE_PHASE, "checkpoints/backbone.ckpt"],  # before the first checkpoint, the history ahead
        [
            *BACKBONE_PHASE,
            "checkpoints/backbone.ckpt",
            "model.safetensors",
            "checkpoints/retrain.json",
            "architecture.json",
            "checkpoints/search.json",
        ],
    ],
    ids=["metrics", "weights", "mark", "checkpoint", "architecture"],
)
def test_killed_between_two_steps(waves_task, small, finished, tmp_path, without):
    out = interrupted(finished, tmp_path, *without)
    if "checkpoints/backbone.ckpt" in without:
        history = staging_path(out) / "metrics.jsonl"
        lines = history.read_text().splitlines(keepends=True)
        history.write_text("".join(lines[:25]) + lines[25][:20])  # one epoch of the backbone and half a line
    assert_same_run(search(waves_task, small, out, resume=True), finished)


def test_a_finished_run_is_returned_or_protected(waves_task, small, finished):
    assert search(waves_task, small, finished.path, resume=True).metrics == finished.metrics
    with pytest.raises(InputError, match="already exists; choose another `out`"):
        search(waves_task, small, finished.path)


def test_an_unfinished_run_is_not_overwritten(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, "metrics.json")
    with pytest.raises(InputError, match=r"run.partial is an unfinished run; .*`resume=True`.* delete"):
        search(waves_task, small, out)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 8}, "started with seed = 7, now it is 8"),
        ({"dilations": (1, 5)}, r"started with dilations = \[1, 3\], now it is \[1, 5\]"),
        ({"retrain_epochs": 13}, "started with retrain_epochs = 12, now it is 13"),
    ],
)
def test_resuming_with_other_settings_names_the_difference(
    waves_task, small, finished, tmp_path, change, named
):
    out = interrupted(finished, tmp_path, "metrics.json")
    with pytest.raises(InputError, match=named):
        search(waves_task, small.model_copy(update=change), out, resume=True)


def test_resuming_with_other_data_names_the_difference(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, "metrics.json")
    path = staging_path(out) / "config.json"
    config = json.loads(path.read_text())
    config["source"] |= {"path": "/moved/waves.npz"}  # another place is fine
    path.write_text(json.dumps(config))
    assert search(waves_task, small, out, resume=True).metrics["task"] == "waves"

    out = interrupted(finished, tmp_path / "other", "metrics.json")
    config["source"] |= {"sha256": "0" * 64}
    (staging_path(out) / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="started with sha256 = 0000"):
        search(waves_task, small, out, resume=True)


def test_a_setting_that_an_older_version_did_not_have_is_as_good_as_none(
    waves_task, small, finished, tmp_path
):
    out = interrupted(finished, tmp_path, "metrics.json")
    path = staging_path(out) / "config.json"
    config = json.loads(path.read_text())
    assert config["asked"].pop("backbone_epochs") is None
    assert config["asked"].pop("ensemble") == 1
    assert config["settings"].pop("ensemble") == 1
    path.write_text(json.dumps(config))
    assert search(waves_task, small, out, resume=True).metrics["task"] == "waves"


@pytest.mark.parametrize("asked", [None, "off"])
def test_a_run_of_an_older_version_goes_on_without_what_it_could_not_do(waves_task, small, tmp_path, asked):
    """Its scores of towers, say, are not taken for those of branches."""
    off = {"searched_arguments": {}, "towers": 1, "reparameterize": False, "scale_samples": False}
    settings = small.model_copy(update=off if asked else dict.fromkeys(off))
    config = run_config(waves_task, settings, TimePlan(run_settings(waves_task, settings), {}))
    for name in off:
        del config["asked"][name], config["settings"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    plan = stored_plan(tmp_path, settings)
    assert {name: getattr(plan.settings, name) for name in off} == off
    check_same(tmp_path, run_config(waves_task, settings, plan))
    on = {"searched_arguments": {"patch": 2}, "towers": 2, "reparameterize": True, "scale_samples": True}
    for name, value in on.items():
        changed = settings.model_copy(update={name: value})
        with pytest.raises(InputError, match=f"was started with {name} = "):
            check_same(tmp_path, run_config(waves_task, changed, plan))


def test_what_has_got_the_run_s_name_meanwhile_is_not_replaced(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, "metrics.json", "report.html")

    def metric():
        out.mkdir(exist_ok=True)
        (out / "thesis.tex").write_text("years of work")
        return waves_task.metric.create()

    task = dataclasses.replace(waves_task, metric=dataclasses.replace(waves_task.metric, create=metric))
    with pytest.raises(InputError, match=r"run appeared .*; move it away, then finish .*`resume=True`"):
        search(task, small, out, resume=True)
    assert (out / "thesis.tex").read_text() == "years of work"
    out.rename(tmp_path / "elsewhere")
    assert_same_run(search(waves_task, small, out, resume=True), finished)


def test_history_is_cut_back_to_the_checkpoint(tmp_path):
    for phase, epoch in (("search", 0), ("search", 1), ("retrain", 0), ("retrain", 1)):
        append_record(tmp_path, {"phase": phase, "epoch": epoch})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"phase": "retr')
    forget_from(tmp_path, "retrain", 1)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(record["phase"], record["epoch"]) for record in records] == [
        ("search", 0),
        ("search", 1),
        ("retrain", 0),
    ]


def test_only_the_same_run_is_joined(waves_task, small, finished, tmp_path):
    out = interrupted(finished, tmp_path, *BACKBONE_PHASE)
    tuned = small.model_copy(update={"tune": "grid"})
    with pytest.raises(InputError, match="was started with tune = none, now it is grid"):
        join(waves_task, tuned, out)
