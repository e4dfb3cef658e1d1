"""How a run came about, as sections of a report: what ``metrics.jsonl`` says of the search and of the trainings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.report.alpha import LayerAlpha, draw_evolution, draw_shares
from dashdeploy.report.charts import Line, line_chart
from dashdeploy.report.page import Section, folded, html_table

_PHASES = {"search": "search", "retrain": "searched network", "backbone": "backbone"}


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


def shares_section(run: RunDirectory, history: Sequence[Mapping[str, Any]]) -> Section:
    """What the search preferred: the shares at its end, how they came about, and their entropy."""
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


def curves_section(run: RunDirectory, history: Sequence[Mapping[str, Any]]) -> Section:
    """Losses and the metric after every epoch of every phase."""
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
        [record["phase"], record.get("epoch", 0) + 1, *(finite_number(record.get(key)) for key in keys)]
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


def finite_number(value: object) -> float | None:
    """`value` as a number; None if it is none, or not finite."""
    ok = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if ok else None  # type: ignore[arg-type]


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


def _points(records: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    return [
        (float(record["epoch"]) + 1, float(record[key]))
        for record in records
        if finite_number(record.get(key)) is not None and finite_number(record.get("epoch")) is not None
    ]


def _wide(lines: Sequence[Line]) -> bool:
    values = [y for line in lines for _, y in line.points if y > 0]
    return bool(values) and max(values) > 30 * min(values)
