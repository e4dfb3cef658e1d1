"""What is in a run or a bundle, layer by layer: read from its JSON files alone, no model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from dashdeploy.artifacts.bundle import (
    MANIFEST_NAME,
    PARITY_NAME,
    PLAN_NAME,
    Bundle,
)
from dashdeploy.artifacts.json_files import read_optional
from dashdeploy.artifacts.run import ARCHITECTURE_NAME, LATENCY_NAME, RunDirectory
from dashdeploy.errors import InputError
from dashdeploy.inspect.bundle_tables import (
    artifact_table,
    artifacts_of,
    candidate_table,
    engine_lines,
    parity_table,
    plan_table,
    speed_line,
    states_line,
    tensor_table,
)
from dashdeploy.inspect.run_tables import (
    kept_table,
    latency_line,
    layer_table,
    metrics_table,
    run_layers,
    size_in_words,
)
from dashdeploy.inspect.shortlist import HEADERS, read_shortlist, shortlist_rows
from dashdeploy.inspect.tuning import halves, read_tuning, trial_table, tuning_line
from dashdeploy.report.text_table import table

WIDTH = 100
"""Of a line of text."""


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
        return inspect_run(RunDirectory.load(path))
    if not path.exists():
        raise InputError(
            f"{path}: no such folder; give a run (dashdeploy search) or a bundle (dashdeploy export)"
        )
    raise InputError(f"{path} is neither a run (no {ARCHITECTURE_NAME}) nor a bundle (no {MANIFEST_NAME})")


def inspect_run(run: RunDirectory) -> Inspection:
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
    if run.architecture.searched_arguments:
        data["searched_arguments"] = run.architecture.searched_arguments
    if run.architecture.towers is not None:
        data["towers"] = run.architecture.towers.model_dump()
    latency = read_optional(run.path / LATENCY_NAME, latency_line)
    if latency:
        data["latency"] = latency
    shortlist = read_shortlist(run.path)
    if shortlist:
        data["shortlist"] = shortlist
    tuning = read_tuning(run.path)
    if tuning:
        data["tuning"] = tuning
    parts = [
        f"run {run.path}: {run.metrics.get('task', '?')}, backbone {run.architecture.backbone}"
        + size_in_words(run.architecture),
        layer_table(layers),
        *([kept_table(run.architecture.kept)] if run.architecture.kept else []),
        *([table(HEADERS, shortlist_rows(shortlist))] if shortlist else []),
        *([tuning_line(tuning)] if tuning else []),
        *([table(*trial_table(tuning))] if tuning and halves(tuning) else []),
        metrics_table(run.metrics),
        *([latency_line(latency)] if latency else []),
    ]
    return Inspection("\n\n".join(parts), data)


def inspect_bundle(bundle: Bundle) -> Inspection:
    """Inputs, outputs, artifacts with their sizes, the plan per layer, and parity."""
    manifest = bundle.manifest
    sizes = {name: (bundle.path / name).stat().st_size for name in manifest.files}
    plan, parity = bundle.read_json(PLAN_NAME), bundle.read_json(PARITY_NAME)
    artifacts = artifacts_of(bundle, parity)
    files = [[name, f"{sizes[name] / 1024:.1f}", sha256[:12]] for name, sha256 in manifest.files.items()]
    parts = [
        f"bundle {bundle.path}: {manifest.name} version {manifest.version}, {manifest.target}, "
        f"{manifest.precision}, from {manifest.source}"
        + (f", ensemble of {manifest.ensemble} networks" if manifest.ensemble > 1 else ""),
        tensor_table(manifest.inputs, manifest.outputs),
        *([states_line(manifest.states)] if manifest.states else []),
        artifact_table(artifacts, sizes),
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
        "artefacts": artifacts,
        "plan": plan,
        "parity": parity,
    }
    return Inspection("\n\n".join(parts), data)


def inspect_plan(plan: Mapping[str, Any]) -> Inspection:
    """The plan, per layer: the convolution, the chosen lowering, the reason, and what every candidate costs.

    Args:
        plan: the content of ``plan.json``.
    """
    heading = f"plan for {plan['target']}: {plan['device']}, costs by `tune={plan['tune']}`{_memory(plan)}"
    parts = [
        # Some processors have long names.
        fill(heading, WIDTH, subsequent_indent="    ", break_long_words=False) + _lengths(plan),
        plan_table(plan),
        candidate_table(plan),
        speed_line(plan),
        engine_lines(plan),
    ]
    return Inspection("\n\n".join(part for part in parts if part), dict(plan))


def _memory(plan: Mapping[str, Any]) -> str:
    """The memory that a candidate could take at most; empty if the user gave none."""
    memory = plan.get("memory")
    return "" if memory is None else f", each in at most {memory / 2**30:.3g} GiB"


def _lengths(plan: Mapping[str, Any]) -> str:
    """Which lengths stand for dynamic axes that are not the batch; empty if the model has none."""
    lengths = plan.get("lengths") or []
    if not lengths:
        return ""
    checked = f"\nchecked with dynamic axes of length {', '.join(map(str, lengths))}"
    return f"{checked}; `input_shapes=NAME=1,C,N` plans for one length"
