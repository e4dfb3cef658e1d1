"""Where the time of a compiled model goes, by the layers that people know, as ONNX Runtime's profiler sees it.

The compiler writes nodes whose names begin with their layer's; a convolution that stayed as it was is known by its
weight. Nodes that belong to no layer are named by what they do.
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.artifacts.bundle import MODEL_NAME, PLAN_NAME, Bundle
from dashdeploy.bench.latency.profile_report import LayerTime, Profile
from dashdeploy.errors import InputError, first_line
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_WARMUP, _CALLS = 5, 50
_KERNEL = "_kernel_time"


def profile_layers(bundle: Bundle, *, batch: int = 1, threads: int = 1, label: str | None = None) -> Profile:
    """Profile the compiled model of a bundle in ONNX Runtime on the CPU.

    The profiler itself takes time, so the sum is more than the model's latency; the shares are what counts.

    Args:
        bundle: the bundle.
        batch: items per call.
        threads: threads within one operator.
        label: what the profile calls the bundle; None takes the model's name.

    Raises:
        InputError: the bundle has no model or no plan, or the batch does not fit.
        MissingCapabilityError: onnxruntime is not installed.
    """
    file = bundle.file(MODEL_NAME)
    if file is None:
        raise InputError(f"{bundle.path}: the bundle has no {MODEL_NAME}; export it again")
    plan = {layer["name"]: layer["chosen"] for layer in bundle.read_json(PLAN_NAME)["layers"]}
    owners = _owners(file, plan)
    times: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for event in _events(file, bundle, batch, threads):
        node = str(event["name"]).removesuffix(_KERNEL)
        operator = str(event["args"].get("op_name", "?"))
        layer = _prefix(node, plan) or owners.get(node) or f"({operator})"
        times[layer][operator] += event["dur"] / _CALLS / 1000
    layers = [
        LayerTime(
            layer=name,
            lowering=plan.get(name, ""),
            ms=sum(nodes.values()),
            nodes=dict(sorted(nodes.items(), key=lambda item: -item[1])),
        )
        for name, nodes in times.items()
    ]
    layers.sort(key=lambda layer: -layer.ms)
    return Profile(bundle=label or bundle.manifest.name, batch=batch, threads=threads, layers=tuple(layers))


def _events(file: Path, bundle: Bundle, batch: int, threads: int) -> list[dict[str, Any]]:
    """The profiler's events of the calls after the warm-up."""
    OnnxRuntime.engine_version()  # says how to install it
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="dashdeploy-profile-") as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        generator = np.random.default_rng(0)
        examples = ExampleInputs.of(OnnxRuntime(file, threads=threads).run, bundle.manifest.inputs)
        feeds = examples.feeds(batch, generator)
        try:
            for _ in range(_WARMUP + _CALLS):
                session.run(None, feeds)
        except Exception as error:  # onnxruntime raises a dozen unrelated classes
            raise InputError(f"{file}: batch {batch} cannot be run: {first_line(error)}") from error
        events = json.loads(Path(session.end_profiling()).read_bytes())
    runs = [event["ts"] for event in events if event.get("name") == "model_run"]
    start = sorted(runs)[_WARMUP] if len(runs) > _WARMUP else 0
    return [
        event
        for event in events
        if event.get("cat") == "Node" and str(event["name"]).endswith(_KERNEL) and event["ts"] >= start
    ]


def _owners(file: Path, plan: Mapping[str, str]) -> dict[str, str]:
    """The layer of every node that reads a planned layer's weight."""
    import onnx

    graph = onnx.load(str(file), load_external_data=False).graph
    owners = {}
    for node in graph.node:
        for value in node.input:
            layer = _prefix(value, plan)
            if layer is not None:
                owners[node.name] = layer
    return owners


def _prefix(name: str, plan: Mapping[str, str]) -> str | None:
    """The planned layer that a node or a value is named after: ``LAYER/...`` or ``LAYER.weight``."""
    head = name.partition("/")[0]
    if head in plan:
        return head
    parent, dot, _ = name.rpartition(".")
    return parent if dot and parent in plan else None
