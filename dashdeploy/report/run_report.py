"""The report of a run: what was found, how it came about, what it is worth, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import HISTORY_NAME, RunDirectory
from dashdeploy.errors import DashdeployError
from dashdeploy.inspect.run_tables import (
    figure_headers,
    figure_rows,
    members_line,
    run_layers,
    size_in_words,
)
from dashdeploy.inspect.shortlist import HEADERS, read_shortlist, shortlist_rows
from dashdeploy.inspect.tuning import halves, read_tuning, trial_table, tuning_line
from dashdeploy.report.architecture import Kernel, LayerPicture, draw_architecture
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import (
    Page,
    Section,
    folded,
    html_table,
    origin_rows,
    paragraph,
    provenance_section,
)
from dashdeploy.report.search_history import curves_section, finite_number, read_history, shares_section

REPORT_NAME = "report.html"


def run_page(run: RunDirectory, *, made_by: Provenance | None = None) -> Page:
    """The report of a finished run.

    Args:
        run: the run.
        made_by: the process that wrote the run; None leaves its command and machine out.
    """
    layers = run_layers(run)
    originals = original_kernels(run)
    history = read_history(run.path / HISTORY_NAME)
    sections = [
        _architecture(run, layers, originals),
        shares_section(run, history),
        curves_section(run, history),
        _metrics(run),
        provenance_section(_origin(run, made_by), _settings(run)),
    ]
    return Page(
        title=f"{run.metrics.get('task', 'run')}: searched architecture",
        subtitle=f"DASH on the backbone {run.architecture.backbone}, {len(layers)} searched convolutions",
        tiles=_tiles(run),
        sections=sections,
        layers={layer["name"]: _details(layer, originals.get(layer["name"])) for layer in layers},
    )


def original_kernels(run: RunDirectory) -> dict[str, Kernel]:
    """The kernels of the unsearched backbone by the layer's name; empty if it cannot be built here."""
    from dashdeploy.backbones.build import build_backbone

    try:
        model = build_backbone(run.architecture.backbone, run.architecture.arguments)
    except (DashdeployError, RuntimeError, ValueError, TypeError):
        return {}
    found = {}
    for name, module in model.named_modules():
        size, dilation = getattr(module, "kernel_size", None), getattr(module, "dilation", None)
        if isinstance(size, tuple) and isinstance(dilation, tuple):
            found[name] = Kernel(int(size[0]), int(dilation[0]))
    return found


def _architecture(
    run: RunDirectory, layers: Sequence[Mapping[str, Any]], originals: Mapping[str, Kernel]
) -> Section:
    causal = {layer.name: layer.causal for layer in run.architecture.layers}
    pictures = [
        LayerPicture(
            layer["name"],
            Kernel(layer["kernel_size"], layer["dilation"]),
            originals.get(layer["name"]),
            causal[layer["name"]],
        )
        for layer in layers
    ]
    rows = [
        [
            layer["name"],
            layer["kernel_size"],
            layer["dilation"],
            layer["receptive_field"],
            str(originals[layer["name"]]) if layer["name"] in originals else None,
            layer["alpha_share"],
            layer["alpha_entropy"],
        ]
        for layer in layers
    ]
    headers = ["layer", "kernel", "dilation", "field", "original", "share of alpha", "entropy"]
    table = html_table(headers, rows, caption="Searched convolutions", layers=True)
    return Section(
        "architecture",
        "The architecture",
        [draw_architecture(pictures), table, _shortlist(run)],
        "Where the taps of every convolution fall around the output's position. Large dots: what the search "
        "chose, on the band of its receptive field. Small dots: the original backbone's kernel.",
    )


def _shortlist(run: RunDirectory) -> Markup:
    content = read_shortlist(run.path)
    if content is None:
        return Markup("")
    caption = (
        f"Short trainings, judged by {content.get('by', 'metric')}. A candidate has to be better than the original "
        f"kernels by more than {content.get('margin', 0):g} standard errors of the difference."
    )
    return html_table(HEADERS, shortlist_rows(content), caption=caption)


def _tuning(run: RunDirectory) -> Markup:
    content = read_tuning(run.path)
    if content is None:
        return Markup("")
    caption = "Short trainings, judged on validation data, one after the other." + (
        " Rung r is after 2^r epochs; about half of the trials that reach one go on."
        if halves(content)
        else ""
    )
    line = tuning_line(content)
    return folded(line[0].upper() + line[1:], html_table(*trial_table(content), caption=caption))


def _metrics(run: RunDirectory) -> Section:
    metrics = run.metrics
    table = html_table(
        figure_headers(metrics),
        [[name, *map(finite_number, figures)] for name, *figures in figure_rows(metrics)],
        caption=f"The searched network beside the backbone, which was trained with {_budget(run)}",
    )
    seconds = {
        str(stage): value
        for stage, value in metrics.get("seconds", {}).items()
        if finite_number(value) is not None and value > 0
    }
    bars = [
        Bar(stage, value, note=f"{value:.0f} s", series=i) for i, (stage, value) in enumerate(seconds.items())
    ]
    return Section(
        "results",
        "What it is worth",
        [
            table,
            paragraph(_members(metrics)),
            paragraph(
                "There were no test data."
                if dict(run.config.get("samples") or {}).get("test") == 0
                else "The test data were looked at once."
            ),
            bar_chart("Seconds per stage", bars, unit="s"),
            _tuning(run),
        ],
    )


def _members(metrics: Mapping[str, Any]) -> str:
    line = members_line(metrics)
    return line and (
        f"{line[0].upper()}{line[1:]}. Its prediction is their mean. The calibration error says how far the "
        "confidence in the predicted class is from the share of right ones, on average."
    )


def _budget(run: RunDirectory) -> str:
    passes = dict(run.config.get("settings") or {}).get("backbone_epochs")
    return "the same budget" if passes is None else f"{passes} passes"


def _tiles(run: RunDirectory) -> list[tuple[str, str, str]]:
    metric = str(run.metrics.get("metric", "metric"))
    tiles = []
    notes = {
        "searched": "retrained",
        "ensemble": f"{dict(run.metrics.get('ensemble') or {}).get('members')} networks",
        "backbone": _budget(run),
    }
    for label, _, test, *_ in figure_rows(run.metrics):
        value = finite_number(test)
        if value is not None:
            shown = f"{value:.2%}" if metric == "accuracy" else f"{value:.4g}"
            tiles.append((f"{label}, test {metric}", shown, notes[label]))
    seconds = sum(
        value for value in run.metrics.get("seconds", {}).values() if finite_number(value) is not None
    )
    fields = [layer.dilation * (layer.kernel_size - 1) + 1 for layer in run.architecture.layers]
    if fields:
        tiles.append(("receptive fields", f"{min(fields)} to {max(fields)}", f"{len(fields)} convolutions"))
    if seconds:
        tiles.append(("time", f"{seconds / 60:.1f} min", "all stages"))
    return tiles


def _details(layer: Mapping[str, Any], original: Kernel | None) -> dict[str, str]:
    details = {
        "kernel size": str(layer["kernel_size"]),
        "dilation": str(layer["dilation"]),
        "receptive field": str(layer["receptive_field"]),
        "share of alpha": "not searched" if layer["alpha_share"] is None else f"{layer['alpha_share']:.3f}",
        "entropy of alpha": f"{layer['alpha_entropy']:.3f}",
    }
    if original is not None:
        details["original kernel"] = f"{original}, field {original.field}"
    return details


def _origin(run: RunDirectory, made_by: Provenance | None) -> dict[str, object]:
    config = run.config
    rows: dict[str, object] = {
        "task": run.metrics.get("task"),
        "data": ", ".join(f"{key} {value}" for key, value in dict(config.get("source") or {}).items()),
        "samples": ", ".join(f"{key} {value}" for key, value in dict(config.get("samples") or {}).items()),
        "seed": config.get("seed"),
        "backbone": f"{run.architecture.backbone} {json.dumps(run.architecture.arguments)}"
        + size_in_words(run.architecture),
        "search space": f"K = {run.architecture.kernel_sizes}, D = {run.architecture.dilations}",
        "versions": ", ".join(f"{key} {value}" for key, value in dict(config.get("versions") or {}).items()),
    }
    return rows | ({} if made_by is None else origin_rows(made_by))


def _settings(run: RunDirectory) -> Markup:
    rows = [[name, json.dumps(value)] for name, value in dict(run.config.get("settings") or {}).items()]
    return folded("Every setting", html_table(["setting", "value"], rows, caption="Settings"))
