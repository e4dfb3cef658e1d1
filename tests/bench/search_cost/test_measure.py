"""`bench search-cost` is tested for structure and for exact figures from known times, never for speed."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.search_cost import measure
from dashdeploy.bench.search_cost.measure import measure_search_cost, paper_problems
from dashdeploy.bench.search_cost.plot import check_plot_path, plot_search_cost
from dashdeploy.bench.search_cost.problem import Problem, peak_mib
from dashdeploy.bench.search_cost.report import AutoRatio, MethodCost, PointCost, SearchCostReport
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.ops.aggconv.rates import table_for
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.computation_rates import layer_inputs

SMALL = Problem(
    line="c",
    x=2,
    backbone="resnet1d",
    arguments={"in_channels": 1, "outputs": 3, "width": 2},
    input_shape=(1, 24),
    batch=2,
    kernel_sizes=(3, 5),
    dilations=(1, 3),
)


def test_the_points_are_the_papers():
    problems = paper_problems()
    by_c = [problem for problem in problems if problem.line == "c"]
    assert [problem.x for problem in by_c] == [1, 2, 3, 4, 5, 6, 7]
    assert by_c[-1].kernel_sizes == (3, 5, 7, 9, 11, 13, 15)
    assert by_c[-1].dilations == (1, 3, 7, 15, 31, 63, 127)
    assert all(problem.input_shape == (1, 1000) and problem.batch == 8 for problem in by_c)
    by_n = [problem for problem in problems if problem.line == "n"]
    assert all(len(problem.kernel_sizes) == len(problem.dilations) == 5 for problem in by_n)
    assert [problem.separable for problem in problems if problem.backbone == "wide_resnet"] == [False, True]
    assert {problem.backbone for problem in paper_problems(rank=2)} == {"wide_resnet"}
    assert len(paper_problems(quick=True)) < len(problems)


def test_all_methods_are_timed_on_the_same_weights():
    said = []
    report = measure_search_cost(
        [SMALL], threads=1, seconds=0.05, min_rounds=2, memory=False, progress=said.append
    )
    (point,) = report.points
    assert [cost.method for cost in point.costs] == list(METHODS)
    for cost in point.costs:
        assert cost.calls >= 2
        assert 0 < cost.low_ms <= cost.p50_ms <= cost.high_ms
        assert cost.peak_mib is None
    assert point.cost("mixed-results").over_mixed_results == 1
    assert sum(point.choices.values()) == 9  # layers of a ResNet1D
    assert point.auto.best in METHODS
    assert report.threads == 1
    assert "timing auto" in said[0]
    weights = [SMALL.supernet(method).state_dict() for method in ("auto", "mixed-results")]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    assert SearchCostReport.model_validate_json(report.model_dump_json()) == report


def test_times_are_those_of_the_device_s_clock(monkeypatch):
    calls = []

    def clock(call):
        call()
        calls.append(call)
        return 5_000_000

    monkeypatch.setattr(measure, "clock_of", lambda _device: clock)
    (point,) = measure_search_cost([SMALL], methods=["auto", "fourier"], seconds=0.01, memory=False).points
    assert [(cost.p50_ms, cost.low_ms, cost.high_ms) for cost in point.costs] == [(5.0, 5.0, 5.0)] * 2
    assert point.auto.median == 1
    assert len(calls) >= 2 * (1 + 1 + 3)  # of either: the first, one of the warm-up, three rounds


def test_auto_takes_what_was_timed_of_its_layers():
    timed = SMALL.timed("cpu", table_for("cpu"), 0.05)
    assert set(timed) == {
        layer.signature(spatial, SMALL.batch)
        for layer, spatial in layer_inputs(SMALL.supernet("auto"), SMALL.input_shape)
    }
    spectral = dict.fromkeys(timed, ("fourier", 0))
    count = len(agg_convs(SMALL.supernet("auto")))
    assert SMALL.choices(None, spectral) == {"fourier": count}
    SMALL.step("auto", timed=spectral)()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_here_is_exit_code_three():
    with pytest.raises(MissingCapabilityError, match=r"`device=cuda`: torch .* pip install torch"):
        measure_search_cost([SMALL], device="cuda")
    with pytest.raises(InputError, match="`device=tpu`: no such device; choose from cpu, cuda"):
        measure_search_cost([SMALL], device="tpu")
    done = CliRunner().invoke(app, ["bench", "search-cost", "--quick", "--device", "cuda"])
    assert done.exit_code == 3
    assert done.stderr.startswith("error: --device cuda: torch")
    assert done.stderr.count("\n") == 1


@pytest.mark.gpu
def test_a_gpu_is_timed_by_its_events():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    report = measure_search_cost([SMALL], device="cuda", seconds=0.5)
    assert torch.cuda.get_device_name() in report.device
    assert report.rates["direct"] > 0
    for cost in report.points[0].costs:
        assert 0 < cost.low_ms <= cost.p50_ms
        assert 0 < cost.peak_mib < 1000


def test_peak_memory_is_that_of_a_process_of_its_own():
    peak = peak_mib(SMALL, "auto", 1)
    assert 50 < peak < 4000  # Python and torch alone take a few hundred


def test_figures_are_those_of_the_samples():
    cost = MethodCost.measured("auto", np.array([1.0, 2.0, 4.0]), np.array([2.0, 8.0, 8.0, 9.0]))
    assert (cost.p50_ms, cost.low_ms, cost.high_ms, cost.calls) == (2000, 1000, 4000, 3)
    assert cost.over_mixed_results == 0.5


def report_with(ratio):
    costs = tuple(
        MethodCost(method=method, calls=3, p50_ms=value, low_ms=value, high_ms=value, peak_mib=100 * value)
        for method, value in (("auto", 2.0), ("fourier", 2.5), ("mixed-results", 8.0))
    )
    auto = AutoRatio(best="fourier", median=ratio, low=ratio, high=ratio)
    series = PointCost(problem=SMALL, costs=costs, auto=auto, choices={"fourier": 9})
    images = series.model_copy(update={"problem": SMALL.model_copy(update={"line": "2-D, dense"})})
    return SearchCostReport(provenance=Provenance.now(), threads=2, seconds=1, points=(series, images))


def test_the_verdict_names_where_auto_falls_behind():
    assert "nowhere more than 10 % slower" in report_with(1.05).text()
    assert (
        "auto is more than 10 % slower than the best method at c = 2, 1.25 times" in report_with(1.25).text()
    )


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_figure_is_drawn(tmp_path, ending):
    path = tmp_path / f"figure{ending}"
    check_plot_path(path)
    plot_search_cost(report_with(1.0), path)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problems": []}, "name at least one size or length"),
        ({"methods": ["fast"]}, "method fast: no such method; choose from auto"),
        ({"methods": []}, "name at least one"),
        ({"methods": ["auto", "auto"]}, "each once"),
        ({"threads": 0}, "`threads=0`"),
        ({"seconds": float("nan")}, "`seconds=nan`"),
        ({"min_rounds": 0}, "`min_rounds=0`"),
    ],
)
def test_arguments_out_of_range_are_one_clear_line(arguments, message):
    with pytest.raises(InputError, match=message):
        measure_search_cost(**({"problems": [SMALL]} | arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "figure.gif"], "must end in .png, .svg, .pdf"),
        (["--plot", "nowhere/figure.png"], "make it first"),
        (["--sizes", "8"], "sizes are 1 to 7"),
        (["--sizes", "0"], "size 0"),
        (["--lengths", "0"], "length 0"),
        (["--sizes", "1", "--rank", "2"], "--rank cannot be combined with --sizes and --lengths"),
        (["--methods", "fast", "--quick"], "no such method"),
    ],
)
def test_a_bad_option_ends_with_one_line_before_anything_is_measured(
    tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", "search-cost", *arguments])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_command_writes_table_json_figure_and_report(tmp_path, fits_schema):
    json_file, figure, page = (tmp_path / f"cost.{ending}" for ending in ("json", "svg", "html"))
    words = ["bench", "search-cost", "--sizes", "1", "--methods", "auto", "--no-memory", "--rounds", "1"]
    words += ["--seconds", "0.01", "--threads", "1", "--json", str(json_file), "--plot", str(figure)]
    words += ["--report", str(page)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "c = 1" in done.stdout
    assert fits_schema("search-cost", json_file.read_text())["points"][0]["costs"][0]["method"] == "auto"
    assert "What a step of the search costs" in page.read_text()
    assert figure.stat().st_size > 1000
