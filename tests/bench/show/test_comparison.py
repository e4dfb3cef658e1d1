"""Two results beside each other: figures of known ratios, and what cannot be compared."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.show.comparison import compare
from dashdeploy.bench.show.results import load_result
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError

RESULTS = Path(__file__).parents[3] / "docs" / "results"


@pytest.fixture
def latency():
    return load_result(RESULTS / "latency-demo.json")


def with_ratios(report, factor):
    speedups = [each.model_copy(update={"median": each.median * factor}) for each in report.speedups]
    return report.model_copy(update={"speedups": tuple(speedups)})


def test_ratios_agree_within_five_percent(latency):
    same = compare(latency, latency)
    assert same.agree
    assert len(same.ratios) == len(latency.speedups)
    assert {each.difference for each in same.ratios} == {0.0}
    near, far = compare(latency, with_ratios(latency, 1.04)), compare(latency, with_ratios(latency, 0.9))
    assert near.agree
    assert "agree within 5%" in near.text()
    assert not far.agree
    assert far.ratios[0].difference == pytest.approx(-0.1)
    assert f"{len(far.ratios)} of {len(far.ratios)} ratios differ by more than 5%" in far.text()


def test_what_only_one_holds_is_said(latency):
    fewer = latency.model_copy(update={"speedups": latency.speedups[1:]})
    compared = compare(latency, fewer)
    assert len(compared.missing) == 1
    assert f"only in one of them: {compared.missing[0]}" in compared.text()
    with pytest.raises(InputError, match="no ratio in common"):
        compare(latency, latency.model_copy(update={"speedups": ()}))


def test_a_noisy_machine_is_said(latency):
    noise = latency.noise[0].model_copy(update={"noisy": True})
    noisy = latency.model_copy(update={"noise": (noise,)})
    assert "noisy machine" in compare(latency, noisy).text()


def test_other_kinds_have_their_ratios_or_are_refused(latency):
    cost = load_result(next(RESULTS.glob("search-cost-*.json")))
    assert any(each.of.endswith(": auto / mixed-results") for each in compare(cost, cost).ratios)
    loadgen = load_result(RESULTS / "loadgen-server.json")
    with pytest.raises(InputError, match="holds no ratios"):
        compare(loadgen, loadgen)
    with pytest.raises(InputError, match="a latency and a search-cost result"):
        compare(latency, cost)


def test_the_command_compares(tmp_path, latency, fits_schema):
    one, other = RESULTS / "latency-demo.json", tmp_path / "again.json"
    other.write_text(with_ratios(latency, 1.01).to_json())
    done = CliRunner().invoke(app, ["bench", "show", str(one), str(other)])
    assert done.exit_code == 0, done.output
    assert "the largest difference is +1.0%" in done.stdout
    done = CliRunner().invoke(app, ["bench", "show", str(one), str(other), "--json"])
    assert fits_schema("comparison", done.stdout)["agree"]
    page = str(tmp_path / "page.html")
    done = CliRunner().invoke(app, ["bench", "show", str(one), str(other), "--report", page])
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert (
        json.loads(one.read_text())["format_version"] == LatencyReport.model_fields["format_version"].default
    )
