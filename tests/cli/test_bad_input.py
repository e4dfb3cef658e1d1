"""Bad input, as a user meets it: one clear line, the right exit code, nothing half-written."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app

COMMAND = Path(sys.executable).with_name("dashdeploy")


def listing(folder):
    return sorted((path.relative_to(folder), path.stat().st_size) for path in folder.rglob("*"))


def refused(folder, *arguments, code=1, real=False):
    """The one line that the command ends with; it has to leave `folder` exactly as it was."""
    before = listing(folder)
    words = [str(argument) for argument in arguments]
    if real:
        done = subprocess.run([COMMAND, *words], capture_output=True, text=True, check=False, timeout=120)
        exit_code, stdout, stderr = done.returncode, done.stdout, done.stderr
    else:
        result = CliRunner().invoke(app, words)
        exit_code, stdout, stderr = result.exit_code, result.stdout, result.stderr
    assert exit_code == code, stderr
    assert stdout == ""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    assert listing(folder) == before
    return lines[0].removeprefix("error: ")


def missing_array(data):
    del data["y_test"]


def wrong_rank(data):
    data["x_train"] = data["x_train"][:, :, :, None, None]


def not_a_number(data):
    data["x_train"][3, 0, 5] = np.nan


def label_out_of_range(data):
    data["y_test"][2] = 9


def fractional_label(data):
    data["y_train"] = data["y_train"].astype(float)
    data["y_train"][2] = 0.5


def object_array(data):
    data["x_train"] = np.array([{"a": 1}] * len(data["y_train"]), dtype=object)


def fewer_labels(data):
    data["y_train"] = data["y_train"][:-1]


BAD = {
    missing_array: ["y_test"],
    wrong_rank: ["x_train", "[60, 1, 32, 1, 1]"],
    not_a_number: ["x_train", "NaN", "[3, 0, 5]", "--missing interpolate"],
    label_out_of_range: ["y_test", "9", "index 2"],
    fractional_label: ["y_train", "0.5", "index 2", "--predict regression"],
    object_array: ["x_train", "object"],
    fewer_labels: ["x_train", "60", "59"],
}


@pytest.mark.parametrize(("spoil", "named"), BAD.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_bad_data(tmp_path, waves, spoil, named):
    spoil(waves)
    path = tmp_path / "bad.npz"
    np.savez(path, **waves)
    line = refused(tmp_path, "search", "--data", path, "--out", tmp_path / "run")
    assert str(path) in line
    for word in named:
        assert word in line, line


def test_data_that_is_not_a_zip(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_text("x_train,y_train\n")
    assert str(path) in refused(tmp_path, "search", "--data", path, "--out", tmp_path / "run", real=True)


def test_data_that_is_not_there(tmp_path):
    path = tmp_path / "absent.npz"
    assert str(path) in refused(tmp_path, "search", "--data", path, "--out", tmp_path / "run")


def test_a_task_with_a_typo(tmp_path):
    line = refused(tmp_path, "search", "--task", "mnsit1d", "--out", tmp_path / "run")
    assert "mnsit1d" in line and "did you mean mnist1d" in line


def test_a_backbone_with_a_typo(tmp_path, npz):
    line = refused(tmp_path, "search", "--data", npz, "--backbone", "resnet1e", "--out", tmp_path / "run")
    assert "resnet1e" in line and "resnet1d" in line


def test_search_into_a_folder_that_exists(tmp_path, npz):
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert str(out) in refused(tmp_path, "search", "--data", npz, "--out", out)


def test_export_of_a_missing_run(tmp_path):
    line = refused(tmp_path, "export", tmp_path / "absent", "--out", tmp_path / "bundle", real=True)
    assert "absent" in line


def test_export_of_an_unfinished_run(tmp_path, written_run):
    (written_run / "model.safetensors").unlink()
    line = refused(tmp_path, "export", written_run, "--out", tmp_path / "bundle")
    assert "model.safetensors" in line


def test_export_of_a_corrupted_model(tmp_path, written_bundle):
    good = (written_bundle / "model.onnx").read_bytes()
    for name, content in {
        "cut": good[:-20],
        "noise": b"\x00\xff" * 40,
        "empty": b"",
        "text": b"hello\n",
    }.items():
        model = tmp_path / f"{name}.onnx"
        model.write_bytes(content)
        line = refused(tmp_path, "export", model, "--out", tmp_path / "bundle", real=name == "cut")
        assert model.name in line, line


def test_export_into_a_folder_that_exists(tmp_path, written_bundle):
    out = tmp_path / "bundle"
    out.mkdir()
    line = refused(tmp_path, "export", written_bundle / "model.onnx", "--out", out)
    assert str(out) in line and "exists" in line


@pytest.mark.parametrize("command", ["serve", "inspect", "bench latency"])
def test_a_bundle_whose_hash_does_not_match(tmp_path, written_bundle, command):
    model = written_bundle / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    line = refused(tmp_path, *command.split(), written_bundle, real=command == "serve")
    assert "model.onnx does not match the sha256" in line


@pytest.mark.parametrize("command", ["serve", "inspect", "bench latency"])
def test_a_bundle_of_a_newer_format(tmp_path, written_bundle, command):
    path = written_bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    assert "format version 99" in refused(tmp_path, *command.split(), written_bundle)


def test_a_bundle_that_is_not_there(tmp_path):
    for command in (["serve"], ["bench", "latency"]):
        assert "no such bundle" in refused(tmp_path, *command, tmp_path / "absent")


def test_bench_of_batch_zero(tmp_path, written_bundle):
    line = refused(tmp_path, "bench", "latency", written_bundle, "--batches", "1,0")
    assert "batch size 0 is not a batch size" in line


ROWS = "1,2,3,up\n4,5,6,down\n" * 8
TABLES = {
    "ragged": (ROWS + "1,2\n", [], ["line 17 has 2 cells"]),
    "text": ("a,b,c,label\n" + ROWS + "1,x,3,up\n", [], ["line 18, column 'b': 'x' is not a number"]),
    "numbers": (ROWS.replace("up", "0.5").replace("down", "1.5"), [], ["column 3", "--predict regression"]),
    "no such column": (
        "a,b,c,label\n" + ROWS,
        ["--target-column", "sort"],
        ["'sort'", "correct --target-column"],
    ),
    "no header": (ROWS, ["--target-column", "label"], ["no header", "index from 0 in --target-column"]),
    "a layout": (ROWS, ["--layout", "channels-last"], ["--layout has no effect with --data"]),
    "lengths": (ROWS, ["--lengths", "pad"], ["--lengths has no effect with --data"]),
    "missing": (
        ROWS.replace("2", "", 1),
        ["--missing", "refuse"],
        ["1 values that are NaN", "--missing interpolate"],
    ),
}


@pytest.mark.parametrize(("text", "options", "named"), TABLES.values(), ids=TABLES)
def test_a_bad_table(tmp_path, text, options, named):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    line = refused(tmp_path, "search", "--data", path, *options, "--out", tmp_path / "run")
    assert str(path) in line
    for word in named:
        assert word in line, line


def test_a_target_column_of_arrays(tmp_path, npz):
    line = refused(tmp_path, "search", "--data", npz, "--target-column", "y", "--out", tmp_path / "run")
    assert line.startswith(
        f"--target-column has no effect with --data {npz}: arrays have no columns, time stamps or image files; "
        "leave it out"
    )
