"""Multiply-adds of a bundle's variants, and how many a second this machine can do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from dashdeploy.artifacts.bundle import PLAN_NAME, Bundle
from dashdeploy.bench.latency.variants import BASELINES, DIRECT, FILES
from dashdeploy.errors import InputError
from dashdeploy.runtimes.torch.device import PRECISIONS, event_nanoseconds, tf32
from dashdeploy.timing import Clock, wall_clock

_PEAK_SIZE = 768
_PEAK_SECONDS = 0.4
_GPU_PEAK_SIZE, _GPU_PEAK_CALLS = 4096, 10


def multiply_adds(bundle: Bundle, variant: str) -> int | None:
    """Multiply-adds of a sample: of convolutions and matrix products. None if sizes are not known.

    The compiled model's are the direct model's with those of the planned layers exchanged.
    """
    if variant in BASELINES:
        file = bundle.file(FILES[variant])
        return None if file is None else count_onnx(file)
    direct = multiply_adds(bundle, DIRECT)
    try:
        plan = bundle.read_json(PLAN_NAME)
        return None if direct is None else direct + sum(_difference(layer) for layer in plan["layers"])
    except (InputError, KeyError, TypeError, StopIteration):
        return None


def _difference(layer: dict[str, Any]) -> int:
    """What the chosen lowering of a planned layer takes more than the direct one, usually less than nothing."""
    if layer["chosen"] == "direct":
        return 0
    counts = {each["lowering"]: each["multiply_adds"] for each in layer["candidates"]}
    return int(counts[layer["chosen"]]) - int(counts["direct"])


def count_onnx(file: Path) -> int | None:
    """Multiply-adds of an ONNX model's convolutions and matrix products, for a batch of one."""
    import onnx

    model = onnx.load(str(file), load_external_data=False)
    for value in model.graph.input:
        axes = value.type.tensor_type.shape.dim
        if axes and axes[0].dim_param:
            axes[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {value.name: _shape(value) for value in [*graph.input, *graph.value_info, *graph.output]}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type not in ("Conv", "MatMul", "Gemm"):
            continue
        out, weight = shapes.get(node.output[0]), shapes.get(node.input[1])
        left = shapes.get(node.input[0])
        if not out or not weight or not left:
            return None
        if node.op_type == "Conv":
            reduced = math.prod(weight[1:])
        else:
            transposed = any(each.name == "transA" and each.i for each in node.attribute)
            reduced = left[0] if transposed else left[-1]
        total += math.prod(out) * reduced
    return total


def _shape(value: Any) -> list[int] | None:  # noqa: ANN401 - a protobuf
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value for axis in axes] if all(axis.dim_value for axis in axes) else None


def measured_peak(threads: int, clock: Clock | None = None) -> float:
    """Multiply-adds a second of a large fp32 matrix product in torch: the peak that shares are of.

    Args:
        threads: that compute it.
        clock: times it; None is the wall clock.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        a, b = torch.randn(_PEAK_SIZE, _PEAK_SIZE), torch.randn(_PEAK_SIZE, _PEAK_SIZE)
        torch.mm(a, b)
        best, deadline = math.inf, perf_counter() + _PEAK_SECONDS
        while perf_counter() < deadline:
            best = min(best, 1e-9 * (clock or wall_clock)(lambda: torch.mm(a, b)))
    finally:
        torch.set_num_threads(before)
    return _PEAK_SIZE**3 / best


def measured_gpu_peaks(precisions: Iterable[str]) -> dict[str, float]:
    """Multiply-adds a second of a large matrix product on this machine's GPU, by precision: the arithmetic's roof.

    Args:
        precisions: of `PRECISIONS`; others are left out, and all where torch has no GPU.
    """
    import torch

    wanted = sorted(set(precisions) & set(PRECISIONS))
    if not wanted or not torch.cuda.is_available():
        return {}
    peaks = {}
    for precision in wanted:
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)
        a, b = (torch.randn(_GPU_PEAK_SIZE, _GPU_PEAK_SIZE, device="cuda", dtype=dtype) for _ in range(2))
        with tf32(allowed=precision == "tf32"):
            torch.mm(a, b)
            best = min(event_nanoseconds(partial(torch.mm, a, b)) for _ in range(_GPU_PEAK_CALLS))
        peaks[precision] = 1e9 * _GPU_PEAK_SIZE**3 / best
    return peaks
