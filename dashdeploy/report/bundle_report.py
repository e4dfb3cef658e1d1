"""The report of a bundle, and of a measurement of bundles: plan, latency, parity, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from dashdeploy.artifacts.bundle import PARITY_NAME, PLAN_NAME, Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.inspect.bundle_tables import PARITY_HEADERS, convolution_in_words, parity_rows
from dashdeploy.report.architecture import Kernel, LayerPicture, draw_architecture
from dashdeploy.report.charts import Bar, bar_chart
from dashdeploy.report.page import (
    Details,
    Page,
    Section,
    folded,
    html_table,
    origin_rows,
    paragraph,
    provenance_section,
)

MOST_BARS = 160


def bundle_page(
    bundle: Bundle, *, measured: Section | None = None, made_by: Provenance | None = None, label: str = ""
) -> Page:
    """The report of a bundle.

    Args:
        bundle: the bundle.
        measured: what a measurement of it found, as a section.
        made_by: the process that measured it.
        label: set before the names of layers, where a page shows several bundles whose layers have the same names.

    Raises:
        InputError: the plan or the parity cannot be read.
    """
    manifest = bundle.manifest
    plan, parity = bundle.read_json(PLAN_NAME), bundle.read_json(PARITY_NAME)
    if label:
        plan["layers"] = [layer | {"name": f"{label} {layer['name']}"} for layer in plan["layers"]]
    rows: dict[str, object] = {
        "model": f"{manifest.name} version {manifest.version}",
        "source": manifest.source,
        **({"ensemble": f"{manifest.ensemble} networks"} if manifest.ensemble > 1 else {}),
        "target": manifest.target,
        "precision": manifest.precision,
        "planned on": plan.get("device"),
        "written by": ", ".join(f"{name} {version}" for name, version in manifest.tools.items()),
        "model.onnx": f"sha256 {manifest.files.get('model.onnx', '?')}",
    }
    if made_by is not None:
        rows |= {f"measured: {key}": value for key, value in origin_rows(made_by).items()}
    sections = [
        *([measured] if measured else []),
        plan_section(plan),
        kernels_section(plan),
        parity_section(parity),
        _files(bundle),
        provenance_section(rows),
    ]
    return Page(
        title=f"{manifest.name}: compiled model",
        subtitle=f"version {manifest.version}, {manifest.precision}, planned for {manifest.target}",
        tiles=_tiles(bundle, plan, parity),
        sections=sections,
        layers=plan_details(plan),
    )


def plan_section(plan: Mapping[str, Any]) -> Section:
    """Per layer: direct or FFT, every candidate's cost as a bar, the reason."""
    bars = []
    for layer in plan["layers"]:
        for candidate in layer["candidates"]:
            if candidate["cost_ms"] is None:
                continue
            chosen = candidate["lowering"] == layer["chosen"]
            direct = candidate["lowering"].startswith("direct")
            bars.append(
                Bar(
                    label=f"{layer['name']}  {candidate['lowering']}",
                    value=candidate["cost_ms"],
                    note=f"{candidate['cost_ms']:.3f} ms" + (" (chosen)" if chosen else ""),
                    series=0 if direct else 1,
                    layer=layer["name"],
                    strong=chosen,
                )
            )
    rows = [
        [layer["name"], convolution_in_words(layer["spec"]), layer["chosen"], layer["reason"]]
        for layer in plan["layers"]
    ]
    table = html_table(["layer", "convolution", "lowering", "reason"], rows, caption="The plan", layers=True)
    title = "Milliseconds per sample of every candidate that was costed"
    cut = "" if len(bars) <= MOST_BARS else f"The first {MOST_BARS} of {len(bars)} candidates are drawn."
    return Section(
        "plan",
        "The plan",
        [
            table,
            bar_chart(title, bars[:MOST_BARS], unit="ms", label_width=260),
            paragraph(cut),
            _candidates(plan),
        ],
        f"Every convolution is computed in the cheapest way on {plan.get('device', 'the target')}. Strong bars "
        "were chosen; blue is direct, orange any other way.",
    )


def _candidates(plan: Mapping[str, Any]) -> Markup:
    rows = [
        [layer["name"], each["lowering"], each["multiply_adds"], each["cost_ms"], each["refused"] or ""]
        for layer in plan["layers"]
        for each in layer["candidates"]
    ]
    headers = ["layer", "candidate", "multiply-adds", "ms per sample", "out because it"]
    return folded("Every candidate as a table", html_table(headers, rows, caption="Every candidate"))


def kernels_section(plan: Mapping[str, Any]) -> Section:
    """The kernels of the planned convolutions as a picture."""
    pictures = []
    for layer in plan["layers"]:
        spec = layer["spec"]
        if spec is not None and spec["kernel"] and max(spec["kernel"]) > 1:
            pictures.append(LayerPicture(layer["name"], Kernel(spec["kernel"][0], spec["dilations"][0])))
    return Section(
        "architecture",
        "The kernels",
        [draw_architecture(pictures)],
        "Where the taps of every convolution with more than one fall, along its first axis.",
    )


def parity_section(parity: Mapping[str, Any]) -> Section:
    """How far the compiled model is from its reference."""
    headers, rows = PARITY_HEADERS, parity_rows(parity)
    return Section(
        "parity",
        "Parity",
        [html_table(headers, rows, caption=f"Against {parity['reference']}")],
        f"A relative error of {parity['tolerance']:.0e} is allowed; a model beyond it is not written.",
    )


def plan_details(plan: Mapping[str, Any]) -> Details:
    """Per layer what the inspector shows: convolution, lowering, reason, costs."""
    details = {}
    for layer in plan["layers"]:
        costs = {
            f"cost of {each['lowering']}": f"{each['cost_ms']:.4f} ms"
            for each in layer["candidates"]
            if each["cost_ms"] is not None
        }
        refused = {
            f"no {each['lowering']}": str(each["refused"])
            for each in layer["candidates"]
            if each["refused"] and each["cost_ms"] is None
        }
        details[layer["name"]] = {
            "plan": layer["chosen"],
            "reason": layer["reason"],
            "convolution": convolution_in_words(layer["spec"]),
            **costs,
            **refused,
        }
    return details


def _files(bundle: Bundle) -> Section:
    rows = [
        [name, f"{(bundle.path / name).stat().st_size / 1024:.1f}", digest[:16]]
        for name, digest in bundle.manifest.files.items()
    ]
    tensors = [
        [kind, spec.name, " x ".join(map(str, spec.shape)), spec.dtype]
        for kind, specs in (("input", bundle.manifest.inputs), ("output", bundle.manifest.outputs))
        for spec in specs
    ]
    return Section(
        "files",
        "What it holds",
        [
            html_table(["", "tensor", "shape", "type"], tensors, caption="Inputs and outputs"),
            html_table(["file", "KiB", "sha256"], rows, caption="Files"),
        ],
    )


def _tiles(
    bundle: Bundle, plan: Mapping[str, Any], parity: Mapping[str, Any]
) -> Sequence[tuple[str, str, str]]:
    layers = plan["layers"]
    compiled = sum(layer["chosen"] != "direct" for layer in layers)
    worst = max((each["max_relative_error"] for each in parity["outputs"]), default=0.0)
    tiles = [
        ("not direct", f"{compiled} of {len(layers)}", "convolutions"),
        ("parity", f"{worst:.1e}", f"{parity['tolerance']:.0e} is allowed"),
    ]
    speed = plan.get("speed")
    if speed:
        tiles.insert(
            0, ("compiled, batch 1", f"{speed['speedup']:.2f}x", f"all-direct {speed['direct_ms']:.2f} ms")
        )
    model = bundle.file("model.onnx")
    if model is not None:
        tiles.append(("model.onnx", f"{model.stat().st_size / 2**20:.2f} MiB", bundle.manifest.precision))
    return tiles
