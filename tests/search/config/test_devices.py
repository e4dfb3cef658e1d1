"""The setting `devices`: how it is read."""

import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.search.config.devices import read_devices


@pytest.mark.parametrize(
    ("text", "accelerator", "count"),
    [("auto", "auto", 1), ("cpu", "cpu", 1), ("2", "auto", 2), ("cpu:3", "cpu", 3), ("cuda:4", "cuda", 4)],
)
def test_devices_are_read(text, accelerator, count):
    found = read_devices(text)
    assert (found.accelerator, found.count, found.processes) == (accelerator, count, count)


@pytest.mark.parametrize("text", ["0", "gpu", "cpu2", ":2", "cpu:", "cpu:0", "", "2:cpu", "-1", "two"])
def test_what_is_not_devices_is_refused(tmp_path, npz, text):
    words = ["search", "--data", str(npz), f"--devices={text}", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert f"devices = '{text}': not devices; write auto, cpu, cuda, a number of them" in result.stderr
