"""The cost table as users meet it: exports at once, exports again, and a damaged file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app

COMMAND = Path(sys.executable).with_name("dashdeploy")


@pytest.fixture
def path(tmp_path, onnx_model):
    text = "g (float[b,24,200] x) => (float[b,24,m] y) { h = Conv(x, w) y = Conv<dilations = [3]>(h, v) }"
    onnx.save(onnx_model(text, w=(24, 24, 15), v=(24, 24, 9)), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def export_again(path, out):
    result = CliRunner().invoke(app, ["export", str(path), "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    Bundle.load(out)
    return result.stderr


def started(path, out, *options):
    """A real process that exports."""
    return subprocess.Popen(
        [COMMAND, "export", path, "--out", out, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(processes):
    """What the processes said, once all have ended well."""
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def test_exports_share_what_they_measured_and_survive_damage(tmp_path, monkeypatch, path):
    cache = tmp_path / "cache"
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(cache))
    said = finished([started(path, tmp_path / name) for name in ("one", "two")])
    assert any("measuring w" in text for text in said)
    assert not any("damaged" in text for text in said)
    for name in ("one", "two"):
        Bundle.load(tmp_path / name)
    (table,) = cache.glob("costs-*.json")
    known = json.loads(table.read_bytes())["costs"]
    assert len(known) == 2

    assert "measuring" not in export_again(path, tmp_path / "three")
    assert json.loads(table.read_bytes())["costs"] == known

    table.write_bytes(table.read_bytes()[:-40])
    (text,) = finished([started(path, tmp_path / "four", "--quiet")])
    assert text.splitlines() == [
        f"WARNING dashdeploy.export.planning.tuning_cache: {table} is damaged; its costs are measured again"
    ]
    assert json.loads(table.read_bytes())["costs"].keys() == known.keys()
