"""The command line: exit codes, one line per error, nothing half-written; progress and results kept apart."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import dashdeploy.inspect.doctor
from dashdeploy.cli.app import app
from dashdeploy.errors import DashdeployError, GateError, InputError, MissingCapabilityError

COMMAND = Path(sys.executable).with_name("dashdeploy")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def fails(*arguments, code=1):
    """Run a command that must fail with this exit code and one line on stderr, nothing on stdout."""
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")


def fails_and_writes_nothing(*arguments, within, code=1):
    before = sorted(within.rglob("*"))
    line = fails(*arguments, code=code)
    assert sorted(within.rglob("*")) == before
    return line


def test_help_is_quick():
    """Half a second at most: of processor time, since a busy machine says nothing about the command."""

    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):
        before = used()
        subprocess.run([COMMAND, "--help"], check=True, capture_output=True)
        seconds.append(used() - before)
    assert min(seconds) < 0.5


def test_help_imports_nothing_heavy():
    code = (
        "import sys, dashdeploy.cli.app\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'lightning', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout == f"dashdeploy {dashdeploy.__version__}\n"


def test_usage_errors_exit_2():
    assert invoke("search", "--no-such-option").exit_code == 2
    assert invoke("no-such-command").exit_code == 2
    assert invoke("search", "--preset", "slow", "--out", "x").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("wrong: correct it"), 1),
        (MissingCapabilityError("missing: pip install it"), 3),
        (GateError("parity"), 4),
        (MemoryError(), 1),
        (ValueError("a fault\nof ours"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_a_line_and_an_exit_code(monkeypatch, error, code):
    def fail():
        raise error

    monkeypatch.setattr(dashdeploy.inspect.doctor, "examine", fail)
    result = invoke("doctor")
    assert result.exit_code == code
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.stderr
    if isinstance(error, DashdeployError):
        assert result.stderr == f"error: {error}\n"
    if code == 70:
        assert result.stderr.startswith(
            "error: internal error: ValueError: a fault of ours; run again with --verbose"
        )
        assert "Traceback" in invoke("doctor", "--verbose").stderr


def test_exit_codes_of_typer_are_left_alone(monkeypatch):
    def leave():
        raise typer.Exit(7)

    monkeypatch.setattr(dashdeploy.inspect.doctor, "examine", leave)
    assert invoke("doctor").exit_code == 7


def test_a_reader_that_goes_away_is_no_error(written_run):
    """As in `dashdeploy doctor | head -1`, with a reader that is gone before anything is written."""
    process = subprocess.Popen(
        [COMMAND, "inspect", written_run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0,7", "--dilations 1,0,7: dilation 0 is not a dilation; use integers from 1 up"),
        ("1,-3", "--dilations 1,-3: dilation -3 is not a dilation; use integers from 1 up"),
        ("1,x", "--dilations 1,x: dilation x is not a dilation; use integers from 1 up"),
        ("1,,7", "--dilations 1,,7: dilation (empty) is not a dilation; use integers from 1 up"),
        ("1.5", "--dilations 1.5: dilation 1.5 is not a dilation; use integers from 1 up"),
        ("3,3", "--dilations 3,3: dilation 3 appears twice; name each once"),
        ("", "--dilations is empty; give at least one dilation, such as --dilations 3"),
    ],
)
def test_bad_lists(tmp_path, text, message):
    arguments = ("search", "--task", "mnist1d", "--dilations", text, "--out", tmp_path / "run")
    assert fails_and_writes_nothing(*arguments, within=tmp_path) == message


def test_exactly_one_of_task_and_data(tmp_path, npz):
    assert "exactly one of --task" in fails("search", "--out", tmp_path / "run")
    assert "exactly one of --task" in fails("search", "--task", "a", "--data", npz, "--out", tmp_path / "run")


def test_export_without_out_or_dry_run(written_run):
    assert "--out BUNDLE" in fails("export", written_run)


def test_inspect_of_nothing(tmp_path):
    assert "no such folder" in fails("inspect", tmp_path / "absent")


@pytest.mark.parametrize("command", ["doctor", "tasks"])
def test_json_and_nothing_else_on_stdout(command):
    assert json.loads(invoke(command, "--json").stdout)


def test_bench_latency_as_a_table_a_file_and_json(tmp_path, written_bundle):
    arguments = ("bench", "latency", written_bundle, "--batches", "1,2", "--seconds", "0.02")
    plain = invoke(*arguments)
    assert plain.exit_code == 0, plain.output
    assert "p50" in plain.stdout and "batch 2: timing" in plain.stderr

    file = tmp_path / "latency.json"
    assert invoke(*arguments, "--json", file, "--quiet").stderr == ""
    assert {row["batch"] for row in json.loads(file.read_text())["rows"]} == {1, 2}

    alone = invoke(*arguments, "--json")
    assert {row["variant"] for row in json.loads(alone.stdout)["rows"]} == {"direct", "compiled"}


def test_export_of_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, written_bundle):
    before = sorted(tmp_path.rglob("*"))
    result = invoke("export", written_bundle / "model.onnx", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["layers"] == []
    assert sorted(tmp_path.rglob("*")) == before


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "dashdeploy", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"dashdeploy {dashdeploy.__version__}\n"
