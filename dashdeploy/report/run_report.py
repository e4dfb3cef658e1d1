"""The report of a run: what was found, how it came about, what it is worth, and where it comes from."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import HISTORY_NAME, Run
from dashdeploy.errors import DashdeployError
from dashdeploy.inspect.inspection import run_layers
from dashdeploy.inspect.shortlist import HEADERS, read_shortlist, shortlist_rows
from dashdeploy.report.alpha import LayerAlpha, draw_evolution, draw_shares
from dashdeploy.report.architecture import Kernel, LayerPicture, draw_architecture
from dashdeploy.report.charts import Bar, Line, bar_chart, line_chart
from dashdeploy.report.page import Page, Section, folded, html_table, paragraph

REPORT_NAME = "report.html"

_PHASES = {"search": "search", "retrain": "searched network", "backbone": "backbone"}


def run_page(run: Run, *, made_by: Provenance | None = None) -> Page:
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
        _shares(run, history),
        _curves(run, history),
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


def original_kernels(run: Run) -> dict[str, Kernel]:
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


def read_history(path: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that can be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("phase"), str):
            records.append(record)
    return records


def provenance_section(rows: Mapping[str, object], *more: Markup) -> Section:
    """Versions, seed, command, machine."""
    shown = [(key, str(value)) for key, value in rows.items() if value not in (None, "", {})]
    return Section(
        "provenance",
        "Where this comes from",
        [html_table(["what", "value"], shown, caption="Provenance"), *more],
    )


def _architecture(run: Run, layers: Sequence[Mapping[str, Any]], originals: Mapping[str, Kernel]) -> Section:
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


def _shortlist(run: Run) -> Markup:
    content = read_shortlist(run.path)
    if content is None:
        return Markup("")
    caption = (
        f"Short trainings, judged by {content.get('by', 'metric')}. A candidate has to be better than the original "
        f"kernels by more than {content.get('margin', 0):g} standard errors of the difference."
    )
    return html_table(HEADERS, shortlist_rows(content), caption=caption)


def _shares(run: Run, history: Sequence[Mapping[str, Any]]) -> Section:
    architecture = run.architecture
    recorded = [record["alpha"] for record in history if record["phase"] == "search" and "alpha" in record]
    layers = []
    for index, layer in enumerate(architecture.layers):
        epochs = [alpha[index] for alpha in recorded if _fits(alpha, index, layer.alpha)]
        layers.append(LayerAlpha(layer.name, layer.alpha, epochs))
    space = architecture.kernel_sizes, architecture.dilations
    rows = [
        [layer.name, k, *(round(share, 4) for share in shares)]
        for layer in layers
        for k, shares in zip(architecture.kernel_sizes, layer.shares, strict=False)
    ]
    headers = ["layer", "kernel", *(f"d {dilation}" for dilation in architecture.dilations)]
    table = folded("Shares as a table", html_table(headers, rows, caption="Shares at the end of the search"))
    parts = [
        draw_shares(layers, *space),
        table,
        draw_evolution(layers, *space),
        _entropy(architecture, history),
    ]
    return Section(
        "alpha",
        "What the search preferred",
        parts,
        "The share of every kernel size and dilation in the mixture, after softmax. The darker, the larger; "
        "the framed one was kept, unless a short list judged otherwise.",
    )


def _fits(alpha: object, index: int, shares: Sequence[Sequence[float]]) -> bool:
    """Whether an epoch's record holds this layer's shares: a file that was cut or changed must not break."""
    try:
        rows = alpha[index]  # type: ignore[index]
        return [len(row) for row in rows] == [len(row) for row in shares] and all(
            isinstance(share, (int, float)) for row in rows for share in row
        )
    except (TypeError, IndexError, KeyError):
        return False


def _entropy(architecture: Any, history: Sequence[Mapping[str, Any]]) -> Markup:  # noqa: ANN401
    records = [record for record in history if record["phase"] == "search" and record.get("entropy")]
    lines = [
        Line(layer.name, [(r["epoch"] + 1, r["entropy"][i]) for r in records if len(r["entropy"]) > i])
        for i, layer in enumerate(architecture.layers)
    ]
    if not records:
        return Markup("")
    mean = [(r["epoch"] + 1, sum(r["entropy"]) / len(r["entropy"])) for r in records]
    shown = lines if len(lines) <= 6 else [Line("mean over layers", mean)]
    chart = line_chart(
        "Entropy of the shares", shown, x_label="epoch of the search", y_label="entropy (1: undecided)"
    )
    rows = [[line.name, *(f"{line.points[at][1]:.3f}" for at in (0, -1))] for line in lines if line.points]
    table = html_table(["layer", "first epoch", "last epoch"], rows, caption="Entropy of the shares")
    return chart + folded("Entropy as a table", table)


def _curves(run: Run, history: Sequence[Mapping[str, Any]]) -> Section:
    metric = str(run.metrics.get("metric", "metric"))
    parts: list[Markup] = []
    losses, scores = [], []
    for phase, title in _PHASES.items():
        records = [record for record in history if record["phase"] == phase]
        for key, name in (("train_loss", "training"), ("validation_loss", "validation")):
            losses.append(Line(f"{title}, {name}", _points(records, key)))
        scores.append(Line(title, _points(records, f"validation_{metric}")))
    charts = [
        line_chart("Losses", losses, x_label="epoch", y_label="loss", logarithmic=_wide(losses)),
        line_chart(f"Validation {metric}", scores, x_label="epoch", y_label=metric),
    ]
    parts += charts
    rows = [
        [record["phase"], record.get("epoch", 0) + 1, *(_number(record.get(key)) for key in keys)]
        for record in history
        for keys in [("train_loss", "validation_loss", f"validation_{metric}")]
    ]
    table = html_table(
        ["phase", "epoch", "training loss", "validation loss", f"validation {metric}"],
        rows,
        caption="Every epoch",
    )
    parts.append(folded("Every epoch as a table", table))
    return Section("curves", "How it learned", parts if any(charts) else [])


def _points(records: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [
        (float(record["epoch"]) + 1, float(record[key]))
        for record in records
        if _number(record.get(key)) is not None and _number(record.get("epoch")) is not None
    ]


def _number(value: object) -> float | None:
    ok = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if ok else None  # type: ignore[arg-type]


def _wide(lines: Sequence[Line]) -> bool:
    values = [y for line in lines for _, y in line.points if y > 0]
    return bool(values) and max(values) > 30 * min(values)


def _metrics(run: Run) -> Section:
    metrics = run.metrics
    rows = [
        [label, *(_number(metrics.get(key, {}).get(split)) for split in ("validation", "test"))]
        for label, key in (("searched", "searched"), ("backbone", "backbone"))
    ]
    table = html_table(
        [str(metrics.get("metric", "metric")), "validation", "test"],
        rows,
        caption=f"The searched network beside the backbone, which was trained with {_budget(run)}",
    )
    seconds = {
        str(stage): value
        for stage, value in metrics.get("seconds", {}).items()
        if _number(value) is not None and value > 0
    }
    bars = [
        Bar(stage, value, note=f"{value:.0f} s", series=i) for i, (stage, value) in enumerate(seconds.items())
    ]
    return Section(
        "results",
        "What it is worth",
        [
            table,
            paragraph("The test data were looked at once."),
            bar_chart("Seconds per stage", bars, unit="s"),
        ],
    )


def _budget(run: Run) -> str:
    passes = dict(run.config.get("settings") or {}).get("backbone_epochs")
    return "the same budget" if passes is None else f"{passes} passes"


def _tiles(run: Run) -> list[tuple[str, str, str]]:
    metric = str(run.metrics.get("metric", "metric"))
    tiles = []
    for label, key in (("searched", "searched"), ("backbone", "backbone")):
        value = _number(run.metrics.get(key, {}).get("test"))
        if value is not None:
            shown = f"{value:.2%}" if metric == "accuracy" else f"{value:.4g}"
            tiles.append(
                (f"{label}, test {metric}", shown, _budget(run) if key == "backbone" else "retrained")
            )
    seconds = sum(value for value in run.metrics.get("seconds", {}).values() if _number(value) is not None)
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


def _origin(run: Run, made_by: Provenance | None) -> dict[str, object]:
    config = run.config
    rows: dict[str, object] = {
        "task": run.metrics.get("task"),
        "data": ", ".join(f"{key} {value}" for key, value in dict(config.get("source") or {}).items()),
        "samples": ", ".join(f"{key} {value}" for key, value in dict(config.get("samples") or {}).items()),
        "seed": config.get("seed"),
        "backbone": f"{run.architecture.backbone} {json.dumps(run.architecture.arguments)}",
        "search space": f"K = {run.architecture.kernel_sizes}, D = {run.architecture.dilations}",
        "versions": ", ".join(f"{key} {value}" for key, value in dict(config.get("versions") or {}).items()),
    }
    return rows | ({} if made_by is None else origin_rows(made_by))


def _settings(run: Run) -> Markup:
    rows = [[name, json.dumps(value)] for name, value in dict(run.config.get("settings") or {}).items()]
    return folded("Every setting", html_table(["setting", "value"], rows, caption="Settings"))


def origin_rows(made_by: Provenance) -> dict[str, object]:
    """A process's provenance as rows."""
    return {
        "command": made_by.command,
        "machine": made_by.machine,
        "date": made_by.date,
        "commit": made_by.commit,
    }
