"""bench layers: the list, the figures of known results, and the command with one small convolution."""

import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.layers import measure as layers
from dashdeploy.bench.layers.measure import layer_suite
from dashdeploy.bench.layers.report import LayerResult, LayersReport, geometric_mean
from dashdeploy.bench.show.page import result_page
from dashdeploy.cli.app import app
from dashdeploy.export.lowerings.conv_spec import ConvSpec


def spec(**changes):
    sizes = {"in_channels": 4, "out_channels": 4, "spatial": (40,), "kernel": (5,), "strides": (1,)}
    rest = {"dilations": (1,), "pads_begin": (2,), "pads_end": (2,)}
    return ConvSpec(**(sizes | rest | changes))


def result(speedup, **changes):
    return LayerResult(
        spec=spec(**changes),
        chosen="fft(tile=16)" if speedup > 1 else "direct",
        reason="because",
        direct_ms=speedup,
        chosen_ms=1.0,
        speedup=speedup,
        low=speedup - 0.1,
        high=speedup + 0.1,
    )


@pytest.fixture
def report():
    square = {"spatial": (8, 8), "kernel": (3, 3), "strides": (1, 1), "dilations": (1, 1)}
    square |= {"pads_begin": (1, 1), "pads_end": (1, 1)}
    results = result(4.0), result(1.0, dilations=(3,)), result(0.9, batch=8), result(2.0, **square)
    return LayersReport(
        provenance=Provenance.now(), device="ONNX Runtime", threads=1, seconds=0.5, results=results
    )


def test_the_list_is_fixed():
    suite = layer_suite()
    assert len(suite) == len(set(suite)) == 168
    assert len(layer_suite(1)) == 120
    assert len(layer_suite(2, channels=[64])) == 24


def test_means_are_those_of_the_subsets(report):
    means = {name: geometric_mean(found) for name, found in report.subsets().items()}
    assert means == pytest.approx(
        {
            "1-D, 4 channels, batch 1": 2.0,
            "1-D, 4 channels, batch 8": 0.9,
            "2-D, 4 channels, 8x8, batch 1": 2.0,
        }
    )
    assert report.geometric_mean(2) == pytest.approx(2.0)
    assert report.geometric_mean(1) == pytest.approx(3.6 ** (1 / 3))
    assert geometric_mean([]) is None
    assert report.slower == 1


def test_the_page_shows_every_subset_and_the_plan_of_a_layer(report):
    page = result_page(report)
    assert [section.title for section in page.sections[1:-1]] == list(report.subsets())
    plan = page.layers["4 -> 4, k 5, n 40"]
    assert (plan["plan"], plan["reason"]) == ("fft(tile=16)", "because")
    assert "4.00 (3.90 to 4.10)" in page.html()


def test_the_command_writes_json_and_a_report(monkeypatch, tmp_path, fits_schema):
    monkeypatch.setattr(layers, "layer_suite", lambda *_arguments, **_options: [spec()])
    file, page = tmp_path / "layers.json", tmp_path / "layers.html"
    words = ["bench", "layers", "--seconds", "0.01", "--json", str(file), "--report", str(page)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "4 -> 4, k 5, n 40" in done.stdout
    content = fits_schema("layers", file.read_text())
    assert content["results"][0]["reason"]
    assert LayersReport.model_validate(content).results[0].spec == spec()
    assert "Direct over chosen" in page.read_text()
