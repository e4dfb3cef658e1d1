"""What is in a run or a bundle, layer by layer: read from its JSON files alone, no model is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import (
    MANIFEST_NAME,
    MODEL_NAME,
    PARITY_NAME,
    PLAN_NAME,
    TORCHSCRIPT_NAME,
    Bundle,
)
from dashdeploy.artifacts.run import (
    ARCHITECTURE_NAME,
    LATENCY_NAME,
    TUNING_NAME,
    LayerArchitecture,
    Run,
    read_optional,
)
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.cli.console import table
from dashdeploy.errors import InputError
from dashdeploy.inspect.shortlist import HEADERS, read_shortlist, shortlist_rows

_RUNNABLE = (MODEL_NAME, TORCHSCRIPT_NAME, "model.pt2", "model.rtx", "model.engine")
"""The files of a bundle that something runs."""


@dataclass(frozen=True)
class Inspection:
    """What was found: `text` for a person, `data` for a machine."""

    text: str
    data: dict[str, Any]


def inspect(path: Path) -> Inspection:
    """Describe the run or the bundle at `path`.

    Raises:
        InputError: there is neither at `path`, or it is malformed, or was changed after it was written.
    """
    if (path / MANIFEST_NAME).exists():
        return inspect_bundle(Bundle.load(path))
    if (path / ARCHITECTURE_NAME).exists():
        return inspect_run(Run.load(path))
    if not path.exists():
        raise InputError(
            f"{path}: no such folder; give a run (dashdeploy search) or a bundle (dashdeploy export)"
        )
    raise InputError(f"{path} is neither a run (no {ARCHITECTURE_NAME}) nor a bundle (no {MANIFEST_NAME})")


def inspect_run(run: Run) -> Inspection:
    """Per layer: the kernel, the dilation, their share of alpha, the receptive field; then the metrics."""
    layers = run_layers(run)
    data = {
        "kind": "run",
        "path": str(run.path),
        "backbone": run.architecture.backbone,
        "arguments": run.architecture.arguments,
        "kernel_sizes": run.architecture.kernel_sizes,
        "dilations": run.architecture.dilations,
        "layers": layers,
        "kept": run.architecture.kept,
        "metrics": run.metrics,
    }
    latency = read_optional(run.path / LATENCY_NAME, latency_line)
    if latency:
        data["latency"] = latency
    shortlist = read_shortlist(run.path)
    if shortlist:
        data["shortlist"] = shortlist
    tuning = read_optional(run.path / TUNING_NAME, tuning_line)
    if tuning:
        data["tuning"] = tuning
    parts = [
        f"run {run.path}: {run.metrics.get('task', '?')}, backbone {run.architecture.backbone}",
        layer_table(layers),
        *([kept_table(run.architecture.kept)] if run.architecture.kept else []),
        *([table(HEADERS, shortlist_rows(shortlist))] if shortlist else []),
        *([tuning_line(tuning)] if tuning else []),
        metrics_table(run.metrics),
        *([latency_line(latency)] if latency else []),
    ]
    return Inspection("\n\n".join(parts), data)


def tuning_line(tuning: Mapping[str, Any]) -> str:
    """The hyperparameters that were chosen."""
    given = {name: value for name, value in tuning["chosen"].items() if value is not None}
    chosen = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in given.items())
    return f"tuning ({tuning['way']}, {len(tuning['trials'])} trials): {chosen}"


def latency_line(latency: Mapping[str, Any]) -> str:
    """What a latency-aware search traded."""
    wish = f"budget {latency['budget_ms']:g} ms" if latency["budget_ms"] else f"weight {latency['weight']:g}"
    return (
        f"latency ({wish}): all convolutions take {latency['chosen_ms']:.4g} ms, {latency['costs']} for "
        f"{latency['target']}; the backbone's own kernels {latency['backbone_ms']:.4g} ms"
    )


def kept_table(kept: Mapping[str, str]) -> str:
    """The convolutions that were not searched, each with the reason."""
    return table(["kept as it is", "because"], [[name, reason] for name, reason in kept.items()])


def run_layers(run: Run) -> list[dict[str, Any]]:
    """Per searched layer: name, kernel size, dilation, receptive field, share and entropy of alpha."""
    return [_layer(layer, run) for layer in run.architecture.layers]


def layer_table(layers: list[dict[str, Any]]) -> str:
    """The searched layers as a table."""
    headers = ["layer", "kernel", "dilation", "receptive field", "share of alpha", "entropy"]
    keys = ["name", "kernel_size", "dilation", "receptive_field", "alpha_share", "alpha_entropy"]
    return table(headers, [[layer[key] for key in keys] for layer in layers])


def metrics_table(metrics: dict[str, Any]) -> str:
    """The searched model beside the unsearched backbone."""
    rows = [
        [label, metrics.get(key, {}).get("validation"), metrics.get(key, {}).get("test")]
        for label, key in (("searched", "searched"), ("backbone", "backbone"))
    ]
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in metrics.get("seconds", {}).items())
    return table([str(metrics.get("metric", "metric")), "validation", "test"], rows) + f"\ntime: {seconds}"


def _layer(layer: LayerArchitecture, run: Run) -> dict[str, Any]:
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


def _share(layer: LayerArchitecture, run: Run) -> float:
    row = run.architecture.kernel_sizes.index(layer.kernel_size)
    return layer.alpha[row][run.architecture.dilations.index(layer.dilation)]


def inspect_bundle(bundle: Bundle) -> Inspection:
    """Inputs, outputs, artefacts with their sizes, the plan per layer, and parity."""
    manifest = bundle.manifest
    sizes = {name: (bundle.path / name).stat().st_size for name in manifest.files}
    plan, parity = bundle.read_json(PLAN_NAME), bundle.read_json(PARITY_NAME)
    artefacts = [_artefact(bundle, name, parity) for name in _RUNNABLE if name in manifest.files]
    files = [[name, f"{sizes[name] / 1024:.1f}", sha256[:12]] for name, sha256 in manifest.files.items()]
    parts = [
        f"bundle {bundle.path}: {manifest.name} version {manifest.version}, {manifest.target}, "
        f"{manifest.precision}, from {manifest.source}",
        _tensor_table(manifest.inputs, manifest.outputs),
        table(
            ["artefact", "runs in", "precision", "KiB", "checked"],
            [
                [
                    each["file"],
                    each["runs_in"],
                    each["precision"],
                    f"{sizes[each['file']] / 1024:.1f}",
                    each["checked"],
                ]
                for each in artefacts
            ],
        ),
        table(["file", "KiB", "sha256"], files),
        inspect_plan(plan).text,
        parity_table(parity),
        "written by " + ", ".join(f"{name} {version}" for name, version in manifest.tools.items()),
    ]
    data = {
        "kind": "bundle",
        "path": str(bundle.path),
        "manifest": manifest.model_dump(mode="json"),
        "sizes": sizes,
        "artefacts": artefacts,
        "plan": plan,
        "parity": parity,
    }
    return Inspection("\n\n".join(parts), data)


def _artefact(bundle: Bundle, name: str, parity: Mapping[str, Any]) -> dict[str, Any]:
    """What runs a file of the bundle, in which precision, and how it was checked: from its sidecar."""
    if name == MODEL_NAME:
        runs_in, precision, checked = (
            "ONNX Runtime, OpenVINO, any ONNX engine",
            parity["precision"],
            _checked(parity),
        )
    else:
        sidecar = bundle.read_json(f"{name}.json")
        precision = sidecar["precision"]
        if "torch" in sidecar:
            runs_in, checked = f"torch {sidecar['torch']}", _checked(sidecar["parity"])
        else:
            batches = (
                ""
                if sidecar["batches"] is None
                else f", batch {sidecar['batches'][0]} to {sidecar['batches'][2]}"
            )
            runs_in = (
                f"{sidecar['engine']} {sidecar['version']}, compute capability "
                f"{', '.join(sidecar['compute_capabilities'])}{batches}"
            )
            checked = "built, never run" if sidecar["checked"] == "built" else "parity, on a GPU"
    return {"file": name, "runs_in": runs_in, "precision": precision, "checked": checked}


def _checked(parity: Mapping[str, Any]) -> str:
    judged = [entry for entry in parity["outputs"] if not entry["inputs"].endswith("not judged")]
    return f"differs by {max((entry['max_relative_error'] for entry in judged), default=0.0):.1e}"


PARITY_HEADERS = ["output", "inputs", "relative error", "cosine", "same top class"]


def parity_rows(parity: Mapping[str, Any]) -> list[list[str | None]]:
    """One row per output and set of inputs, under `PARITY_HEADERS`."""
    return [
        [
            each["output"],
            each["inputs"],
            f"{each['max_relative_error']:.1e}",
            f"{each['cosine']:.9f}",
            None if each["top1_agreement"] is None else f"{each['top1_agreement']:.1%}",
        ]
        for each in parity["outputs"]
    ]


def parity_table(parity: Mapping[str, Any]) -> str:
    """How far the compiled model is from its reference, per output and set of inputs."""
    headers, rows = PARITY_HEADERS, parity_rows(parity)
    title = f"parity with {parity['reference']}: a relative error of {parity['tolerance']:.0e} is allowed"
    return "\n\n".join(
        part for part in (title, table(headers, rows), _accuracy_line(parity.get("accuracy"))) if part
    )


def _accuracy_line(accuracy: Mapping[str, Any] | None) -> str:
    """What is right on the validation samples; empty where that is not known."""
    if not accuracy:
        return ""
    return (
        f"{accuracy.get('measure', 'accuracy')} on {accuracy['samples']} validation samples: "
        f"{accuracy['model']:.4f}, reference {accuracy['reference']:.4f}; "
        f"a drop of {accuracy['allowed_drop']:g} is allowed"
    )


def _tensor_table(inputs: list[TensorSpec], outputs: list[TensorSpec]) -> str:
    rows = [
        [kind, spec.name, " x ".join(str(axis) for axis in spec.shape), spec.dtype]
        for kind, specs in (("input", inputs), ("output", outputs))
        for spec in specs
    ]
    return table(["", "tensor", "shape", "type"], rows)


def inspect_plan(plan: Mapping[str, Any]) -> Inspection:
    """The plan, per layer: the convolution, the chosen lowering, the reason, and what every candidate costs.

    Args:
        plan: the content of ``plan.json``.
    """
    layers = [
        [layer["name"], convolution_in_words(layer["spec"]), layer["chosen"], layer["reason"]]
        for layer in plan["layers"]
    ]
    parts = [
        f"plan for {plan['target']}: {plan['device']}, costs by --tune {plan['tune']}",
        table(["layer", "convolution", "lowering", "reason"], layers),
        candidate_table(plan),
        speed_line(plan),
    ]
    return Inspection("\n\n".join(part for part in parts if part), dict(plan))


def candidate_table(plan: Mapping[str, Any]) -> str:
    """Every candidate of every layer; a layer is named at its first one."""
    rows = [
        [
            "" if number else layer["name"],
            each["lowering"],
            each["multiply_adds"],
            None if each["cost_ms"] is None else f"{each['cost_ms']:.4f}",
            each["refused"] or "",
        ]
        for layer in plan["layers"]
        for number, each in enumerate(layer["candidates"])
    ]
    return table(["layer", "candidate", "multiply-adds", "ms per sample", "out because it"], rows)


def speed_line(plan: Mapping[str, Any]) -> str:
    """The race of the compiled model against the all-direct one; empty if there was none."""
    speed = plan.get("speed")
    if not speed:
        return ""
    return (
        f"batch 1: all-direct {speed['direct_ms']:.3f} ms, compiled {speed['compiled_ms']:.3f} ms, "
        f"{speed['speedup']:.2f} times as fast ({speed['speedup_low']:.2f} to {speed['speedup_high']:.2f}); "
        f"shipped: {speed['shipped']}"
    )


def convolution_in_words(spec: Mapping[str, Any] | None) -> str:
    """Such as ``16 -> 32, k 7, d 3, n 40``."""
    if spec is None:
        return "of unknown size"

    def axes(values: Iterable[int]) -> str:
        return "x".join(str(value) for value in values)

    parts = [f"{spec['in_channels']} -> {spec['out_channels']}", f"k {axes(spec['kernel'])}"]
    parts += [f"d {axes(spec['dilations'])}", f"n {axes(spec['spatial'])}"]
    if any(stride != 1 for stride in spec["strides"]):
        parts.append(f"stride {axes(spec['strides'])}")
    if spec["groups"] != 1:
        parts.append(f"groups {spec['groups']}")
    return ", ".join(parts)
