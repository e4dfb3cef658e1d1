"""The tables and lines that describe a run; the report shows the same rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dashdeploy.artifacts.run import ARCHITECTURE_NAME, Architecture, LayerArchitecture, RunDirectory
from dashdeploy.errors import InputError
from dashdeploy.report.text_table import table


def run_layers(run: RunDirectory) -> list[dict[str, Any]]:
    """Per searched layer: name, kernel size, dilation, receptive field, share and entropy of alpha."""
    return [_layer(layer, run) for layer in run.architecture.layers]


def _layer(layer: LayerArchitecture, run: RunDirectory) -> dict[str, Any]:
    try:
        chosen = None if layer.original else _share(layer, run)
    except (ValueError, IndexError) as error:
        raise InputError(
            f"{run.path / ARCHITECTURE_NAME}: layer {layer.name}: kernel {layer.kernel_size}, dilation "
            f"{layer.dilation} has no entry in its alpha; the file was changed by hand, search again"
        ) from error
    return {
        "name": layer.name,
        "kernel_size": layer.kernel_size,
        "dilation": layer.dilation,
        "receptive_field": layer.dilation * (layer.kernel_size - 1) + 1,
        "alpha_share": chosen,
        "alpha_entropy": layer.entropy,
    }


def _share(layer: LayerArchitecture, run: RunDirectory) -> float:
    row = run.architecture.kernel_sizes.index(layer.kernel_size)
    return layer.alpha[row][run.architecture.dilations.index(layer.dilation)]


def layer_table(layers: list[dict[str, Any]]) -> str:
    """The searched layers as a table."""
    headers = ["layer", "kernel", "dilation", "receptive field", "share of alpha", "entropy"]
    keys = ["name", "kernel_size", "dilation", "receptive_field", "alpha_share", "alpha_entropy"]
    return table(headers, [[layer[key] for key in keys] for layer in layers])


def size_in_words(architecture: Architecture) -> str:
    """Such as ``, searched with {"patch": 2}, 2 towers of width 16``, to follow the backbone's name; mostly empty."""
    own, towers = architecture.searched_arguments, architecture.towers
    words = f", searched with {json.dumps(own)}" if own else ""
    if towers is not None:
        arguments = ", ".join(f"{name} {value}" for name, value in towers.arguments.items())
        words += f", {towers.count} towers of {arguments}"
    return words


def kept_table(kept: Mapping[str, str]) -> str:
    """The convolutions that were not searched, each with the reason."""
    return table(["kept as it is", "because"], [[name, reason] for name, reason in kept.items()])


def figure_rows(metrics: Mapping[str, Any]) -> list[list[Any]]:
    """Per network: its name, its validation and test figures; in a run with an ensemble its calibration error, too.

    The networks are the searched one, the ensemble if there is one, and the unsearched backbone.
    """
    ensemble = metrics.get("ensemble")
    rows = []
    for name in ("searched", "ensemble", "backbone") if ensemble else ("searched", "backbone"):
        figures = metrics.get(name, {})
        row = [name, figures.get("validation"), figures.get("test")]
        rows.append([*row, ensemble.get("ece", {}).get(name)] if ensemble else row)
    return rows


def figure_headers(metrics: Mapping[str, Any]) -> list[str]:
    """The headers of `figure_rows`."""
    headers = [str(metrics.get("metric", "metric")), "validation", "test"]
    return [*headers, "calibration error"] if metrics.get("ensemble") else headers


def members_line(metrics: Mapping[str, Any]) -> str:
    """What each member of the ensemble is worth by itself; empty if there is none."""
    ensemble = metrics.get("ensemble")
    if not ensemble:
        return ""
    figures = [value for value in ensemble.get("members_test", []) if value is not None]
    shown = f", test {metrics.get('metric', 'metric')} {', '.join(f'{x:.4g}' for x in figures)}"
    return f"ensemble of {ensemble.get('members')} networks{shown if figures else ''}"


def metrics_table(metrics: dict[str, Any]) -> str:
    """The searched model, and the ensemble, beside the unsearched backbone."""
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in metrics.get("seconds", {}).items())
    figures = table(figure_headers(metrics), figure_rows(metrics))
    return "\n".join(filter(None, (figures, members_line(metrics), f"time: {seconds}")))


def latency_line(latency: Mapping[str, Any]) -> str:
    """What a latency-aware search traded."""
    wish = f"budget {latency['budget_ms']:g} ms" if latency["budget_ms"] else f"weight {latency['weight']:g}"
    return (
        f"latency ({wish}): all convolutions take {latency['chosen_ms']:.4g} ms, {latency['costs']} for "
        f"{latency['target']}; the backbone's own kernels {latency['backbone_ms']:.4g} ms"
    )
