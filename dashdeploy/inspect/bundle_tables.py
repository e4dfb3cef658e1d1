"""The tables and lines that describe a bundle: its files, its plan, its parity; the report shows the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashdeploy.artifacts.bundle import MODEL_NAME, NATIVE_NAME, PT2_NAME, TORCHSCRIPT_NAME, Bundle
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.report.text_table import TERMINAL, table
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT

_RUNNABLE = (
    MODEL_NAME,
    NATIVE_NAME,
    TORCHSCRIPT_NAME,
    PT2_NAME,
    RTX.file_name,
    TENSORRT.file_name,
    *(own.file for engine in ONNX_ENGINES.values() if (own := engine.own_format) is not None),
)
"""The files of a bundle that something runs."""

PARITY_HEADERS = ["output", "inputs", "relative error", "cosine", "same top class"]


def artifacts_of(bundle: Bundle, parity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per file that something runs: what runs it, in which precision, and how it was checked."""
    return [_artifact(bundle, name, parity) for name in _RUNNABLE if name in bundle.manifest.files]


def artifact_table(artifacts: Sequence[Mapping[str, Any]], sizes: Mapping[str, int]) -> str:
    """The files that something runs.

    Args:
        artifacts: as `artifacts_of` gives them.
        sizes: bytes by file.
    """
    rows = [
        [
            each["file"],
            each["runs_in"],
            each["precision"],
            f"{sizes[each['file']] / 1024:.1f}",
            each["checked"],
        ]
        for each in artifacts
    ]
    return table(["artifact", "runs in", "precision", "KiB", "checked"], rows)


def _artifact(bundle: Bundle, name: str, parity: Mapping[str, Any]) -> dict[str, Any]:
    """What runs a file of the bundle, in which precision, and how it was checked: from its sidecar."""
    if name == MODEL_NAME:
        runs_in, precision, checked = _engines_of(parity), parity["precision"], _checked(parity)
    elif name == NATIVE_NAME:
        sidecar = bundle.read_json(f"{name}.json")
        runs_in, precision = "dashdeploy's native kernels", "fp32"
        checked = f"differs by {sidecar['max_relative_error']:.1e}"
    else:
        sidecar = bundle.read_json(f"{name}.json")
        precision = sidecar["precision"]
        if "processor" in sidecar:
            runs_in, checked = _engines_of(sidecar["parity"]), _checked(sidecar["parity"])
        elif "torch" in sidecar:
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


def _engines_of(parity: Mapping[str, Any]) -> str:
    """The engines in which the model was checked, and no others; bundles of version 0.1 do not say."""
    checked = "; ".join(each["engine"] for each in parity.get("engines", ()))
    return checked or "ONNX Runtime, OpenVINO, any ONNX engine"


def _checked(parity: Mapping[str, Any]) -> str:
    judged = [entry for entry in parity["outputs"] if not entry["inputs"].endswith("not judged")]
    return f"differs by {max((entry['max_relative_error'] for entry in judged), default=0.0):.1e}"


def tensor_table(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> str:
    """The inputs and outputs of a model."""
    rows = [
        [kind, spec.name, " x ".join(str(axis) for axis in spec.shape), spec.dtype]
        for kind, specs in (("input", inputs), ("output", outputs))
        for spec in specs
    ]
    return table(["", "tensor", "shape", "type"], rows)


def states_line(states: Mapping[str, str]) -> str:
    """Which outputs are the next values of which inputs."""
    pairs = ", ".join(f"{next_name} is the next {name}" for name, next_name in states.items())
    return f"states, which a server keeps for each sequence: {pairs}"


def plan_table(plan: Mapping[str, Any]) -> str:
    """What was decided for each layer, and why: a table, or three lines a layer where that is too wide.

    A reason stays whole: it may hold a parameter that the command line spells as an option.
    """
    rows = [
        [layer["name"], convolution_in_words(layer["spec"]), layer["chosen"], layer["reason"]]
        for layer in plan["layers"]
    ]
    drawn = table(["layer", "convolution", "lowering", "reason"], rows)
    if max(map(len, drawn.splitlines())) <= TERMINAL:
        return drawn
    return "\n".join(
        f"{name}\n    {chosen}: {convolution}\n    {reason}" for name, convolution, chosen, reason in rows
    )


def candidate_table(plan: Mapping[str, Any]) -> str:
    """Every candidate of every layer, with its time per sample; a layer is named at its first one."""
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
    headers = ["layer", "candidate", "multiply-adds", "ms", "out because it"]
    return table(headers, rows, widths={"layer": 20, "out because it": 14})


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


def engine_lines(plan: Mapping[str, Any]) -> str:
    """What the target was chosen from, a line each; empty where it was named."""
    lines = [
        f"{each['target']}: {'out' if each['ms'] is None else format(each['ms'], '.3f') + ' ms'}, {each['reason']}"
        for each in plan.get("engines") or ()
    ]
    return "\n".join(["chosen among engines, each with its own plan:", *lines]) if lines else ""


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


def parity_rows(parity: Mapping[str, Any]) -> list[list[str | None]]:
    """One row per output and set of inputs, under `PARITY_HEADERS`."""
    return [
        [
            each["output"],
            each["inputs"],
            f"{each['max_relative_error']:.1e}"
            + (f" (reference itself {each['noise']:.1e})" if each.get("noise") else ""),
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
