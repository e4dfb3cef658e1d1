"""The tables and lines that describe a run; the report shows the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashdeploy.artifacts.run import ARCHITECTURE_NAME, LayerArchitecture, RunDirectory
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


def kept_table(kept: Mapping[str, str]) -> str:
    """The convolutions that were not searched, each with the reason."""
    return table(["kept as it is", "because"], [[name, reason] for name, reason in kept.items()])


def metrics_table(metrics: dict[str, Any]) -> str:
    """The searched model beside the unsearched backbone."""
    rows = [
        [label, metrics.get(key, {}).get("validation"), metrics.get(key, {}).get("test")]
        for label, key in (("searched", "searched"), ("backbone", "backbone"))
    ]
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in metrics.get("seconds", {}).items())
    return table([str(metrics.get("metric", "metric")), "validation", "test"], rows) + f"\ntime: {seconds}"


def latency_line(latency: Mapping[str, Any]) -> str:
    """What a latency-aware search traded."""
    wish = f"budget {latency['budget_ms']:g} ms" if latency["budget_ms"] else f"weight {latency['weight']:g}"
    return (
        f"latency ({wish}): all convolutions take {latency['chosen_ms']:.4g} ms, {latency['costs']} for "
        f"{latency['target']}; the backbone's own kernels {latency['backbone_ms']:.4g} ms"
    )
