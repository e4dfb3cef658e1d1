"""A run and a bundle that version 0.1.0 wrote are read, verified, served and exported as by that version.

Beside them lies what that version printed about them. Only machines, versions and times may differ.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app

FOLDER = Path(__file__).parent / "written_by_0_1_0"
ROUNDING = 1e-6  # of logits below 1: ten times what reordered float32 sums gave here


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Copies of the run and the bundle, in the working directory, since names are printed as they were given."""
    for name in ("run", "waves"):
        shutil.copytree(FOLDER / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(*words: str):
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def expected(name: str):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", ["run", "waves"])
def test_inspect_prints_the_same(name):
    assert printed("inspect", name) == expected(f"inspect-{name}.json")


@pytest.mark.usefixtures("here")
def test_the_plan_for_a_device_elsewhere_is_the_same():
    words = ("export", "run", "--tune", "estimate", "--target", "tensorrt", "--device", "h100", "--dry-run")
    now, before = printed(*words), expected("dry-run.json")
    for plan in (now, before):
        for candidate in (each for layer in plan["layers"] for each in layer["candidates"]):
            assert candidate.pop("error", None) is None  # a field since then, of what was measured
            candidate["refused"] = candidate["refused"] is not None  # whether it is, not in which words
    assert now.pop("inputs") == {"input": ["batch", 1, 64]} and now.pop("lengths") == []  # fields since then
    assert now == before


@pytest.mark.usefixtures("here")
def test_verify_finds_the_bundle_good():
    (found,) = printed("verify", "waves")
    (before,) = expected("verify-waves.json")
    assert found["good"] is before["good"] is True
    same = ("files", "schema", "interface", "accuracy")
    for check in same:
        (now,), (then,) = ([c for c in each["checks"] if c["check"] == check] for each in (found, before))
        assert now == then
    assert [c["check"] for c in found["checks"]] == [c["check"] for c in before["checks"]]


def test_a_run_is_exported_and_gives_the_same_answers(here):
    printed("export", "run", "--lowering", "fft", "--out", "again")
    before, now = (json.loads((here / name / "plan.json").read_text()) for name in ("waves", "again"))
    # Which tile is quickest is measured, and may differ by noise.
    now_chosen, chosen = (
        [(each["name"], each["chosen"].partition("(")[0]) for each in of["layers"]] for of in (now, before)
    )
    assert now_chosen == chosen
    assert_answers(here / "again")


def test_the_bundle_gives_the_same_answers(here):
    assert_answers(here / "waves")


def assert_answers(bundle: Path) -> None:
    from dashdeploy.artifacts.bundle import Bundle
    from dashdeploy.runtimes.engines import load_engine

    answers = np.load(FOLDER / "answers.npz")
    runtime = load_engine(Bundle.load(bundle))
    found = runtime.run({runtime.inputs[0].name: answers["x"]})
    np.testing.assert_allclose(found["logits"], answers["logits"], atol=ROUNDING, rtol=0)


def test_the_bundle_is_served(here):
    command = [sys.executable, "-m", "dashdeploy", "serve", "waves", "--http-port", "0", "--grpc-port", "0"]
    answers = np.load(FOLDER / "answers.npz")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = ""
            while "http://" not in line:
                line = server.stderr.readline()
                assert line, "the server ended"
            address = "http://" + line.split("http://")[1].split()[0].rstrip(",;")
            x = answers["x"]
            name = json.loads((here / "waves" / "bundle.json").read_text())["inputs"][0]["name"]
            tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
            answer = httpx.post(f"{address}/v2/models/waves/infer", json={"inputs": [tensor]}).json()
            (output,) = answer["outputs"]
            found = np.array(output["data"], np.float32).reshape(output["shape"])
            np.testing.assert_allclose(found, answers["logits"], atol=ROUNDING, rtol=0)
        finally:
            server.kill()
