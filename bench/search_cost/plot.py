"""The figure of `bench search-cost`, as PNG, SVG or PDF."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.atomic import write_bytes_atomically
from dashdeploy.bench.search_cost.report import PointCost, SearchCostReport
from dashdeploy.errors import InputError, MissingCapabilityError

FORMATS = (".png", ".svg", ".pdf")

# Okabe and Ito's colors, which stay apart for the color-blind; markers tell them apart in black and white.
_STYLE = {
    "mixed-results": ("#0072b2", "s"),
    "mixed-weights": ("#cc79a7", "^"),
    "fourier": ("#e69f00", "o"),
    "per-dilation": ("#56b4e9", "D"),
    "auto": ("#d55e00", "*"),
}
_X_LABELS = {
    "c": "c: size of K and of D (length 1000)",
    "n": "length of the series (c = 5)",
}


def check_plot_path(plot: Path) -> None:
    """Refuse before the measurement what could not be written after it.

    Raises:
        InputError: the ending is unknown, or the folder is missing.
        MissingCapabilityError: matplotlib is not installed.
    """
    if plot.suffix.lower() not in FORMATS:
        raise InputError(f"`plot={plot}`: the name must end in {', '.join(FORMATS)}")
    if not plot.absolute().parent.is_dir():
        raise InputError(f"`plot={plot}`: the folder does not exist: {plot.absolute().parent}; make it first")
    _matplotlib()


def plot_search_cost(report: SearchCostReport, path: Path) -> None:
    """Draw the time per step of every method, a panel per line of the figure, and write it to `path`.

    Raises:
        InputError: the file cannot be written.
        MissingCapabilityError: matplotlib is not installed.
    """
    figure_class = _matplotlib()
    curves = {line: points for line, points in report.lines.items() if line in _X_LABELS}
    single = [point for line, points in report.lines.items() if line not in _X_LABELS for point in points]
    panels = len(curves) + bool(single)
    figure = figure_class(figsize=(max(5.2 * panels, 7.5), 4.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, (line, points) in zip(axes, curves.items(), strict=False):
        _draw_curves(axis, line, points, report.methods)
    if single:
        _draw_bars(axes[-1], single, report.methods)
    axes[0].set_ylabel("ms per step (forward, backward, update)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("What a step of the search costs", fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower().lstrip("."), dpi=150)
    write_bytes_atomically(path, buffer.getvalue())


def _draw_curves(axis: Any, line: str, points: list[PointCost], methods: list[str]) -> None:  # noqa: ANN401
    for method in methods:
        color, marker = _STYLE[method]
        known = [(point.problem.x, point.cost(method)) for point in points]
        xs = [x for x, cost in known if cost is not None]
        ys = [cost.p50_ms for _, cost in known if cost is not None]
        width = 2.2 if method == "auto" else 1.2
        axis.plot(xs, ys, color=color, marker=marker, label=method, linewidth=width)
    axis.set_yscale("log")
    if line == "n":
        axis.set_xscale("log", base=2)
    axis.set_xticks([point.problem.x for point in points], [str(point.problem.x) for point in points])
    axis.minorticks_off()
    axis.set_xlabel(_X_LABELS[line])
    axis.grid(alpha=0.3)


def _draw_bars(axis: Any, points: list[PointCost], methods: list[str]) -> None:  # noqa: ANN401
    width = 0.8 / len(methods)
    for index, method in enumerate(methods):
        costs = [point.cost(method) for point in points]
        heights = [0.0 if cost is None else cost.p50_ms for cost in costs]
        places = [place + index * width - 0.4 + width / 2 for place in range(len(points))]
        axis.bar(places, heights, width, color=_STYLE[method][0], label=method)
    axis.set_yscale("log")
    axis.set_xticks(range(len(points)), [point.problem.line for point in points])
    axis.set_xlabel("WRN-16-1 on 3 x 32 x 32, K = {3, 5, 7, 9}, D = {1, 3, 7, 15}")
    axis.grid(axis="y", alpha=0.3)


def _matplotlib() -> Any:  # noqa: ANN401 - its own types are not needed here
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingCapabilityError(
            "matplotlib is not installed; install it with: pip install 'dashdeploy[plot]'"
        ) from error
    return Figure
