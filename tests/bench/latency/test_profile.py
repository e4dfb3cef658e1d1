"""Where the time of a compiled model goes."""

from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.latency.profile import profile_layers
from dashdeploy.cli.app import app


def test_the_profile_names_layers(written_bundle):
    profile = profile_layers(Bundle.load(written_bundle), batch=2)
    assert [layer.layer for layer in profile.layers] == ["(Relu)"]
    assert profile.layers[0].ms > 0
    assert profile.shares() == [1.0]
    assert "100.0%" in profile.text()


def test_the_profile_is_part_of_the_result_and_of_the_page(written_bundle, tmp_path, fits_schema):
    file, page = tmp_path / "latency.json", tmp_path / "latency.html"
    words = ["bench", "latency", str(written_bundle), "--batches", "2", "--seconds", "0.01", "--profile"]
    done = CliRunner().invoke(app, [*words, "--json", str(file), "--report", str(page)])
    assert done.exit_code == 0, done.output
    title = "rectifier, batch 2, 1 thread(s): where the time goes"
    assert title in done.stdout
    (profile,) = fits_schema("latency", file.read_text())["profiles"]
    assert [layer["layer"] for layer in profile["layers"]] == ["(Relu)"]
    assert "Where the time goes" in page.read_text()
    shown = CliRunner().invoke(app, ["bench", "show", str(file), "--report", str(page)])
    assert title in shown.stdout
    assert "Where the time goes" in page.read_text()
