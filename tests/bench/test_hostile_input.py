"""What the bench commands answer to wrong input: one line that names it, the right exit code, no traceback."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app

RESULTS = Path(__file__).parents[2] / "docs" / "results"
LATENCY = RESULTS / "latency-demo.json"


def answer(*words):
    """The exit code of a command, and the one line that it said; it printed no result."""
    done = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert done.stdout == ""
    assert "Traceback" not in done.output
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return done.exit_code, lines[0]


@pytest.mark.parametrize("command", ["latency", "serve"])
def test_what_is_no_bundle_is_named(command, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    assert answer(command, tmp_path / "empty") == (
        1,
        f"error: {tmp_path}/empty is not a bundle: it has no bundle.json",
    )
    code, line = answer(command, tmp_path / "nowhere")
    assert code == 1
    assert "nowhere: no such bundle; write one with" in line
    assert answer(command, tmp_path / "file")[0] == 1


def test_a_bundle_that_was_changed_is_refused(written_bundle):
    manifest = json.loads((written_bundle / "bundle.json").read_text())
    manifest["files"]["model.onnx"] = "0" * 64
    (written_bundle / "bundle.json").write_text(json.dumps(manifest))
    code, line = answer("latency", written_bundle)
    assert code == 1
    assert "model.onnx" in line
    manifest["format_version"] = 99
    (written_bundle / "bundle.json").write_text(json.dumps(manifest))
    assert "99" in answer("latency", written_bundle)[1]
    (written_bundle / "bundle.json").write_text("{")
    assert answer("latency", written_bundle)[0] == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--batches", "0"], 1, "batch size 0 is not a batch size"),
        (["--batches", ""], 1, "--batches is empty"),
        (["--threads", "0"], 1, "number of threads 0"),
        (["--engine", "onnx"], 1, "engine onnx: no such engine; choose from ort-cpu"),
        (["--engine", "tensorrt"], 1, "the bundle has no model.engine; export it again with --trt"),
        (["--engine", "torchscript"], 1, "the bundle has no model.ts; export it again with --torchscript"),
        (["--engine", "onnx", "--networks", "all"], 1, "engine onnx: no such engine"),
        (["--networks", "zebra"], 1, "zebra: no such network"),
        (["--url", "http://127.0.0.1:1"], 1, "--url belongs to --loadgen"),
    ],
)
def test_options_that_no_measurement_fits(written_bundle, words, code, message):
    found, line = answer("latency", written_bundle, *words)
    assert found == code
    assert message in line


def test_one_bundle_twice_and_two_of_one_name(written_bundle, tmp_path):
    assert "one appears twice" in answer("latency", written_bundle, written_bundle)[1]
    other = shutil.copytree(written_bundle, tmp_path / "other" / "rectifier")
    words = ["latency", written_bundle, other, "--batches", "1", "--seconds", "0.01", "--json"]
    done = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert done.exit_code == 0, done.output
    labels = [bundle["label"] for bundle in json.loads(done.stdout)["bundles"]]
    assert labels == [str(written_bundle), str(other)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["layers", "--channels", "7"], "it has 64, 128 and, in 1-D, 256 channels"),
        (["layers", "--rank", "2", "--channels", "256"], "it has 64, 128 and, in 1-D, 256 channels"),
        (["networks", "resnet1"], "did you mean resnet1d"),
        (["search-cost", "--sizes", "9"], "sizes are 1 to 7"),
        (["accuracy", "--tasks", "mnist2d", "--out", "runs"], "no such task"),
    ],
)
def test_the_other_commands(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = answer(*words)
    assert code == 1
    assert message in line


@pytest.mark.parametrize("command", ["latency", "layers", "networks", "serve", "search-cost"])
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_that_is_none_is_a_usage_error(command, seconds, written_bundle):
    bundle = [str(written_bundle)] if command in ("latency", "serve") else []
    done = CliRunner().invoke(app, ["bench", command, *bundle, "--seconds", seconds])
    assert done.exit_code == 2
    assert "--seconds" in done.stderr


def damaged(**changes):
    return json.dumps(json.loads(LATENCY.read_text()) | changes)


def of_another_version(path):
    content = json.loads(path.read_text())
    return json.dumps(content | {"format_version": content["format_version"] + 1})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "is not a result of bench"),
        (lambda: LATENCY.read_bytes()[:5000], "is not a result of bench"),
        (lambda: b"\xff\xfe\x00{", "is not a result of bench"),
        (lambda: b"[" * 100_000, "is not a result of bench"),
        (lambda: b"PK\x03\x04", "is not a result of bench"),
        (lambda: damaged(seconds=float("nan")), "NaN is not a figure"),
        (lambda: damaged(seconds=0).replace('"seconds": 0', '"seconds": 1e999'), "1e999 is not a figure"),
        (lambda: damaged(seconds="soon"), "seconds: Input should be a valid number"),
        (lambda: damaged(rows=[{}]), "rows.0.bundle: Field required"),
        (lambda: damaged(surprise=1), "surprise: Extra inputs are not permitted"),
        (lambda: damaged(kind="weights"), "'weights' is not a kind of result that can be shown"),
        (lambda: damaged(kind=["latency"]), "is not a kind of result that can be shown"),
        (lambda: damaged(format_version=2), "format version 2, but this dashdeploy reads 3"),
        (lambda: damaged(format_version=None), "format version None, but this dashdeploy reads 3"),
        (lambda: '"latency"', "'none' is not a kind of result"),
    ],
)
def test_a_damaged_result_is_refused(tmp_path, content, message):
    file = tmp_path / "result.json"
    made = content()
    file.write_bytes(made if isinstance(made, bytes) else made.encode())
    for words in (
        ["show", file],
        ["show", LATENCY, file],
        ["show", file, "--report", tmp_path / "page.html"],
    ):
        code, line = answer(*words)
        assert code == 1
        assert message in line
        assert str(file) in line
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_of_another_version_is_refused(path, tmp_path):
    file = tmp_path / "result.json"
    file.write_text(of_another_version(path))
    assert "measure again, or use the dashdeploy that wrote it" in answer("show", file)[1]


def test_a_folder_is_no_result(tmp_path):
    assert "is not a result of bench" in answer("show", tmp_path)[1]
