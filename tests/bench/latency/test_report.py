"""What a latency measurement says, as a table and as a page, from known times."""

import json
import shutil

import pytest
from rich.console import Console

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.latency.measure import measure_latency
from dashdeploy.bench.latency.page import latency_page
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.latency.rows import BatchNoise, BundleFacts, LatencyRow, Speedup
from dashdeploy.errors import InputError
from dashdeploy.timing import RatioEstimate


def printed(report):
    console = Console(width=160)
    with console.capture() as capture:
        console.print(report.table())
    return capture.get()


def row_of(variant, ms):
    return LatencyRow(
        bundle="net",
        engine="ort-cpu",
        threads=1,
        precision="fp32",
        batch=1,
        variant=variant,
        calls=9,
        p50_ms=ms,
        p90_ms=ms + 1,
        p99_ms=ms + 2,
        intervals=(),
        items_per_second=1000 / ms,
        size_mib=0.5,
        multiply_adds=3_000_000,
        peak_share=0.25,
    )


def report_with(noise):
    ratio = RatioEstimate(2, 1.9, 2.125)
    return LatencyReport(
        provenance=Provenance.now().model_copy(update={"machine": "the machine"}),
        seconds=2,
        bundles=(
            BundleFacts(label="net", path="net", model="net version 1", precision="fp32", target="ort-cpu"),
        ),
        engines={"ort-cpu": "the engine"},
        skipped={"tensorrt": "there is no GPU"},
        peak_gflops={1: 80.0},
        rows=(row_of("direct", 2.0), row_of("compiled", 1.0)),
        speedups=(Speedup.measured("net", "ort-cpu", 1, 1, "direct", ratio),),
        noise=(BatchNoise.measured(["net"], 1, 1, noise),),
    )


def test_table_shows_figures_and_ratio_beside_the_variant_compared_with():
    text = printed(report_with(RatioEstimate(1.0, 0.99, 1.01)))
    direct = next(line for line in text.splitlines() if "direct" in line)
    cells = direct.replace("│", " ").split()
    assert cells[:8] == ["direct", "ort-cpu", "1", "1", "2.000", "3.000", "4.000", "500"]
    assert cells[8:11] == ["0.50", "3.00", "25%"]
    assert "2.00x as fast (1.90 to 2.12)" in direct
    for said in (
        "net version 1, fp32",
        "the engine",
        "the machine",
        "quiet",
        "without tensorrt: there is no GPU",
    ):
        assert said in text


@pytest.mark.parametrize(
    "median, low, high", [(1.0, 0.96, 1.01), (1.0, 0.99, 1.04), (1.5, 1.4, 1.6), (0.5, 0.4, 0.6)]
)
def test_noise_is_said(median, low, high):
    report = report_with(RatioEstimate(median, low, high))
    assert report.noisy
    assert "noisy machine" in printed(report)
    assert f"{median:.3f} ({low:.3f} to {high:.3f})" in report.noise_warning()


def test_a_quiet_machine_gives_no_warning():
    report = report_with(RatioEstimate(1.0, 0.971, 1.029))
    assert not report.noisy
    assert report.noise_warning() is None
    assert report.speedup(1, "direct").median == 2
    assert report.speedup(2, "direct") is None


def test_measurements_made_one_after_the_other_are_one_report():
    first = report_with(RatioEstimate(1.0, 0.99, 1.01))
    noisy = report_with(RatioEstimate(1.0, 0.9, 1.01)).model_dump_json().replace('"net"', '"other"')
    second = LatencyReport.model_validate_json(noisy)
    both = LatencyReport.merged([first, second])
    assert [row.bundle for row in both.rows] == ["net", "net", "other", "other"]
    assert [each.bundles for each in both.noise] == [("net",), ("other",)]
    assert [[row.bundle for row in both.rows if each.timed(row)] for each in both.noise] == [
        ["net", "net"],
        ["other", "other"],
    ]
    assert both.noise_warning().startswith("noisy machine: other: at batch 1 one variant")
    assert list(both.skipped) == ["tensorrt, net", "tensorrt, other"]
    assert LatencyReport.merged([first]) == first
    with pytest.raises(InputError, match="net: two bundles have this name"):
        LatencyReport.merged([first, first])


def test_the_page_holds_the_figures(written_bundle):
    report = report_with(RatioEstimate(1.0, 0.99, 1.01))
    text = latency_page(report, [Bundle.load(written_bundle)]).html()
    for said in (
        "direct, ort-cpu",
        "Batch 1, 1 thread(s)",
        "2 ms, p99 4",
        "2.00x as fast (1.90 to 2.12)",
        "The plan",
        "there is no GPU",
    ):
        assert said in text


def test_layers_of_two_bundles_that_share_a_name_keep_their_own_plans(written_bundle, tmp_path):
    other = shutil.copytree(written_bundle, tmp_path / "other")
    plan = json.loads((other / "plan.json").read_text())
    plan["layers"][0]["reason"] = "another reason"
    (other / "plan.json").write_text(json.dumps(plan))
    manifest = Bundle.load(written_bundle).manifest.model_copy(update={"name": "other", "files": {}})
    write_manifest(other, manifest)
    bundles = [Bundle.load(written_bundle), Bundle.load(other)]
    page = latency_page(measure_latency(bundles, batches=[1], seconds=0.01), bundles)
    assert page.layers["rectifier first"]["reason"] == "1.5x as fast as direct"
    assert page.layers["other first"]["reason"] == "another reason"
    assert len({section.anchor for section in page.sections}) == len(page.sections)
    assert 'data-layer="other first"' in page.html()
