"""`bench accuracy` with searches of seconds: resumed, in parallel, with a failure among them."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from dashdeploy.backbones.run import Run
from dashdeploy.bench.accuracy.measure import Plan, measure_accuracy
from dashdeploy.bench.accuracy.published import PUBLISHED, TARGETS
from dashdeploy.bench.accuracy.report import AccuracyReport, SeedResult, spread
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError

SMALL = ["--set", "width=2", "--set", "search_epochs=1", "--set", "retrain_epochs=1"]


@pytest.fixture
def plan_of(tmp_path):
    def make(**changes):
        return Plan(**({"tasks": ["mnist1d"], "seeds": [0, 1], "out": tmp_path / "runs"} | changes))

    return make


def finished(plan, written_run, task="mnist1d", seed=0, **settings):
    """A run directory as `plan` expects it, written by hand."""
    path = plan.path(task, seed)
    shutil.copytree(written_run, path)
    metrics = json.loads((path / "metrics.json").read_text())
    metrics["task"] = task
    metrics["searched"]["test"] += 0.01 * seed
    (path / "metrics.json").write_text(json.dumps(metrics))
    (path / "config.json").write_text(json.dumps({"settings": {"width": 8, "seed": seed} | settings}))


def test_finished_runs_are_read_and_not_run_again(plan_of, written_run, fits_schema):
    plan = plan_of()
    for seed in (0, 1):
        finished(plan, written_run, seed=seed)
    said = []
    report = measure_accuracy(plan, progress=said.append)
    (line,) = said
    assert line.startswith("2 runs, 2 of them ") and f"{plan.jobs or report_jobs()} at" in line
    assert [each.searched for each in report.results] == pytest.approx([0.875, 0.885])
    assert report.rows()[0][3:6] == ["0.8800 ± 0.0071", "0.7500 ± 0.0000", "+0.1300"]
    seconds = json.loads((plan.path("mnist1d", 0) / "metrics.json").read_text())["seconds"]
    assert float(report.rows()[0][6]) == pytest.approx(sum(seconds.values()) / 60, abs=0.05)
    assert "CNN 0.94; human 0.96" in report.text()
    assert "arXiv 2011.14439" in report.text()
    assert report.means() == pytest.approx((0.88, 0.75))
    assert AccuracyReport.model_validate_json(report.model_dump_json()) == report
    fits_schema("accuracy", report.model_dump_json())
    old = json.loads(report.model_dump_json()) | {"HEADERS": ["task", "metric"]}  # as older versions wrote it
    assert AccuracyReport.model_validate(old) == report


def test_towers_are_told(plan_of, written_run):
    plan = plan_of()
    for seed in (0, 1):
        finished(plan, written_run, seed=seed)
    path = plan.path("mnist1d", 1) / "architecture.json"
    towers = {"count": 2, "arguments": {"width": 4}, "kind": "classification"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"towers": towers}))
    assert [each.towers for each in measure_accuracy(plan).results] == [1, 2]


def report_jobs():
    from dashdeploy.machine import cores

    return cores()


def test_runs_with_other_settings_are_not_averaged(plan_of, written_run):
    plan = plan_of()
    finished(plan, written_run, seed=0)
    finished(plan, written_run, seed=1, width=16)
    with pytest.raises(InputError, match="was made with other settings"):
        measure_accuracy(plan)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ["mnist1"]}, "did you mean mnist1d"),
        ({"tasks": []}, "at least one task"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "each once"),
        ({"jobs": 0}, "`jobs=0`"),
    ],
)
def test_a_wrong_plan_is_one_clear_line(plan_of, changes, message):
    with pytest.raises(InputError, match=message):
        measure_accuracy(plan_of(**changes))


def test_data_of_one_s_own_are_searched_like_tasks(tmp_path):
    """Twice, of which the second only reads; the name is the file's."""
    generator = np.random.default_rng(0)
    for name, shift in (("far", 5.0), ("near", 0.0)):
        y = np.arange(60) % 2
        x = generator.standard_normal((60, 16)) + shift * y[:, None]
        np.savez(tmp_path / f"{name}.npz", X=x, y=y)
    paths = [str(tmp_path / f"{name}.npz") for name in ("far", "near")]
    words = ["bench", "accuracy", "--data", paths[0], "--data", paths[1], "--seeds", "1", "--jobs", "2"]
    words += ["--out", str(tmp_path / "runs"), "--json", *SMALL]
    first, again = (CliRunner().invoke(app, words) for _ in range(2))
    assert first.exit_code == again.exit_code == 0, first.output
    results = AccuracyReport.model_validate_json(first.stdout).results
    assert [each.task for each in results] == ["far", "near"]
    assert AccuracyReport.model_validate_json(again.stdout).results == results
    config = json.loads((tmp_path / "runs" / "near-seed0" / "config.json").read_bytes())
    assert config["samples"]["test"] == 12


@pytest.mark.parametrize(
    ("data", "tasks", "message"),
    [
        (["missing.npz"], [], r"missing\.npz`: no such file or folder; give data as"),
        (["waves.npz", "other/waves.npz"], [], r"waves\.npz`: another task is called waves as well; rename"),
        (["mnist1d.npz"], [], r"mnist1d\.npz`: another task is called mnist1d as well; rename"),
    ],
)
def test_data_that_cannot_be_told_apart_are_one_clear_line(plan_of, tmp_path, data, tasks, message):
    paths = [tmp_path / each for each in data]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        if path.name != "missing.npz":
            path.touch()
    with pytest.raises(InputError, match=message):
        measure_accuracy(plan_of(data=paths, tasks=tasks))


def test_a_run_that_fails_is_named_and_does_not_stop_the_others(plan_of, written_run):
    plan = plan_of(settings=["width=none"], jobs=2)
    finished(plan, written_run, seed=1)
    report = measure_accuracy(plan)
    (failure,) = report.failures
    assert (failure.task, failure.seed) == ("mnist1d", 0)
    assert "width" in failure.reason
    assert [each.seed for each in report.results] == [1]
    assert "mnist1d, seed 0 failed" in report.text()
    words = [
        "bench",
        "accuracy",
        "--seeds",
        "2",
        "--set",
        "width=none",
        "--out",
        str(plan.out),
        "--jobs",
        "1",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("error: 1 run(s) failed, the first: mnist1d, seed 0")


@pytest.mark.slow
def test_it_goes_on_where_it_was_interrupted(tmp_path):
    pytest.importorskip("mnist1d")
    out = tmp_path / "runs"
    words = [
        "bench",
        "accuracy",
        "--tasks",
        "mnist1d",
        "--seeds",
        "2",
        "--jobs",
        "1",
        "--out",
        str(out),
        *SMALL,
    ]
    command = [sys.executable, "-m", "dashdeploy", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (out / "mnist1d-seed0").exists():
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    before = (out / "mnist1d-seed0" / "metrics.json").stat().st_mtime_ns
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert [each["seed"] for each in report["results"]] == [0, 1]
    assert (out / "mnist1d-seed0" / "metrics.json").stat().st_mtime_ns == before


def test_figures_are_those_of_the_run(written_run):
    result = SeedResult.of(3, Run.load(written_run))
    assert (result.searched, result.backbone, result.seconds) == (0.875, 0.75, 19.0)
    assert result.kernels == ((3, 1), (7, 5))
    assert spread([1.0]) == "1.0000"
    assert set(TARGETS) <= set(PUBLISHED)


def test_a_run_without_test_data_is_refused(written_run):
    metrics = json.loads((written_run / "metrics.json").read_text())
    metrics["searched"]["test"] = metrics["backbone"]["test"] = None
    (written_run / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(InputError, match="has no test figures"):
        SeedResult.of(0, Run.load(written_run))
