"""Metadata of the server and its models: tensors, configuration, statistics, index.

Plain dictionaries with the protocol's field names: HTTP sends them as JSON, gRPC as messages of the same
fields. Sources: Open Inference Protocol, "Server Metadata" and "Model Metadata"; Triton's extensions "Model
Configuration", "Statistics" and "Model Repository".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.serve.observability.statistics import Duration, ModelStatistics
from dashdeploy.serve.protocol.tensor_data import wire_shape
from dashdeploy.serve.repository.bundle_slots import BundleSlot
from dashdeploy.serve.repository.served_model import ServedModel
from dashdeploy.serve.repository.version_policies import as_config
from dashdeploy.serve.scheduling.batch_curve import BatchCurve
from dashdeploy.serve.settings import VersionPolicy
from dashdeploy.version import __version__

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "sequence",
    "statistics",
)
"""Triton's names of the extensions that are served; of the schedule policy only the timeout."""


def server_metadata() -> dict[str, Any]:
    """The server's name, version and extensions."""
    return {"name": "dashdeploy", "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(model: ServedModel, versions: Iterable[ServedModel]) -> dict[str, Any]:
    """A model's tensors, and all its versions."""
    return {
        "name": model.name,
        "versions": [each.version for each in versions],
        "platform": model.kind.platform,
        "inputs": [_tensor_metadata(spec) for spec in model.inputs.values()],
        "outputs": [_tensor_metadata(spec) for spec in model.outputs.values()],
    }


def model_config(model: ServedModel, policy: VersionPolicy) -> dict[str, Any]:
    """A model's configuration as Triton would write it into ``config.pbtxt``.

    Args:
        model: the model.
        policy: which of its versions are served.
    """
    settings = model.settings
    config: dict[str, Any] = {
        "name": model.name,
        "platform": model.kind.platform,
        "backend": model.kind.backend,
        "version_policy": as_config(policy),
        "max_batch_size": settings.batching.max_rows if model.batched else 0,
        "input": [
            # A client gives a state itself, or lets the server keep it.
            _tensor_config(spec, batched=model.batched)
            | ({"optional": True} if spec.name in model.states else {})
            for spec in model.inputs.values()
        ],
        "output": [_tensor_config(spec, batched=model.batched) for spec in model.outputs.values()],
        "instance_group": [
            {
                "name": f"{model.name}_0",
                "kind": "KIND_GPU" if model.kind.on_gpu else "KIND_CPU",
                "count": settings.instances,
            }
        ],
        "default_model_filename": model.kind.file,
    }
    parameters = _label_parameters(model)
    if model.curve is not None:
        parameters |= _curve_parameters(model.curve, settings.batching.max_rows)
    if parameters:
        config["parameters"] = {name: {"string_value": value} for name, value in parameters.items()}
    if model.states:
        config["sequence_batching"] = _sequence_batching(model)
    elif model.batched:
        config["dynamic_batching"] = {
            "preferred_batch_size": list(settings.batching.preferred),
            "max_queue_delay_microseconds": round(settings.batching.delay * 1e6),
            "default_queue_policy": {
                "default_timeout_microseconds": round(settings.request_timeout * 1e6),
                "allow_timeout_override": True,
                "max_queue_size": settings.batching.queue_size,
            },
        }
    return config


def _sequence_batching(model: ServedModel) -> dict[str, Any]:
    """Triton's message for states that the server keeps; its other one for batches cannot stand beside it."""
    settings = model.settings
    batching = settings.batching
    oldest: dict[str, Any] = {"max_candidate_sequences": settings.max_sequences}
    if model.batched:
        oldest["preferred_batch_size"] = list(batching.preferred)
        oldest["max_queue_delay_microseconds"] = round(batching.delay * 1e6)
    states = []
    for name, next_name in model.states.items():
        tensor = _tensor_config(model.inputs[name], batched=model.batched)
        zeros = {
            "name": "zeros",
            "data_type": tensor["data_type"],
            "dims": [max(1, length) for length in tensor["dims"]],
            "zero_data": True,
        }
        del tensor["name"]
        states.append({"input_name": name, "output_name": next_name, **tensor, "initial_state": [zeros]})
    return {
        "max_sequence_idle_microseconds": round(settings.sequence_idle_seconds * 1e6),
        "oldest": oldest,
        "state": states,
    }


def _label_parameters(model: ServedModel) -> dict[str, str]:
    """The names of a classifier's classes, and whether a sample may have several of them."""
    if not model.labels:
        return {}
    return {
        "labels": json.dumps(list(model.labels)),
        "multi_label": json.dumps(model.multi_label),
    }


def _curve_parameters(curve: BatchCurve, max_rows: int) -> dict[str, str]:
    """The measured curve, in the map that Triton's configuration has for what is a server's own."""
    costs = {str(rows): round(cost, 6) for rows, cost in curve.milliseconds_per_sample().items()}
    useful = curve.useful_sizes(max_rows)
    skipped = [rows for rows in curve.seconds if rows not in useful]
    return {
        "ms_per_sample_by_batch": json.dumps(costs),
        "largest_useful_batch": str(max(useful)),
        "measured_batches_not_formed": json.dumps(skipped),
    }


def statistics(models: Iterable[ServedModel]) -> dict[str, Any]:
    """The counts of each model."""
    return {"model_stats": [_model_statistics(model, model.statistics) for model in models]}


def repository_index(slots: Sequence[BundleSlot], *, ready_only: bool = False) -> list[dict[str, str]]:
    """Every version that was found on disk, and whether it is served."""
    entries = []
    for slot in slots:
        ready = slot.model is not None and not slot.model.broken
        if ready or not ready_only:
            reason = slot.reason or ("unloaded" if slot.unloaded else "" if ready else "not served")
            state = {"state": "READY" if ready else "UNAVAILABLE", "reason": reason}
            entries.append({"name": slot.name, "version": slot.version, **state})
    return entries


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPE_BY_NUMPY_NAME[spec.dtype], "shape": wire_shape(spec)}


def _tensor_config(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    datatype = DATATYPE_BY_NUMPY_NAME[spec.dtype]
    return {
        "name": spec.name,
        "data_type": "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}",
        "dims": wire_shape(spec)[1 if batched else 0 :],
    }


def _model_statistics(model: ServedModel, counted: ModelStatistics) -> dict[str, Any]:
    failures = list(counted.failures.values())
    fail = Duration(sum(each.count for each in failures), sum(each.ns for each in failures))
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": counted.last_inference_ms,
        "inference_count": counted.inference_count,
        "execution_count": counted.execution_count,
        "inference_stats": {
            "success": _duration(counted.success),
            "fail": _duration(fail),
            "queue": _duration(counted.queue),
            "compute_input": _duration(counted.compute_input),
            "compute_infer": _duration(counted.compute_infer),
            "compute_output": _duration(counted.compute_output),
            "cache_hit": _duration(Duration()),
            "cache_miss": _duration(Duration()),
        },
        "batch_stats": [
            {
                "batch_size": rows,
                "compute_input": _duration(of_size.compute_input),
                "compute_infer": _duration(of_size.compute_infer),
                "compute_output": _duration(of_size.compute_output),
            }
            for rows, of_size in sorted(counted.batches.items())
        ],
    }


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}
