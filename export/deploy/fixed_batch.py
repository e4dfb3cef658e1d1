"""The compiled model for calls of one number of samples: what engines and converters take that want every size.

What the model says of shapes inside is inferred anew, since tools believe what they read there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dashdeploy.artifacts.bundle import MODEL_NAME
from dashdeploy.errors import GateError, InputError
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.converted.onnx_interface import with_fixed_batch
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_TOLERANCE = 1e-5
"""Of an output's largest value: other kernels for another batch differ by rounding, in half precision by more."""

_HALF_TOLERANCE = 1e-2


def write_fixed_batch(folder: Path, batch: int | None, progress: Progress = silent) -> None:
    """Write ``model.batch-N.onnx`` beside the model, checked against it in ONNX Runtime.

    Args:
        folder: of the bundle that is being written.
        batch: samples; None writes nothing.
        progress: told what is being done.

    Raises:
        InputError: the model has another fixed batch, or an axis that is not the batch is dynamic.
        GateError: ONNX Runtime does not run it, or it does not give what the model gives.
    """
    if batch is None:
        return
    model, name = folder / MODEL_NAME, file_name(batch)
    progress(f"writing {name}")
    any_batch = OnnxRuntime(model)
    for spec in any_batch.inputs:
        if spec.shape and isinstance(spec.shape[0], int) and spec.shape[0] != batch:
            raise InputError(f"`fixed_batch={batch}`: the model takes batches of {spec.shape[0]} alone")
    (folder / name).write_bytes(with_fixed_batch(model.read_bytes(), batch))
    generator = np.random.default_rng(0)
    feeds = {spec.name: spec.random(batch, generator) for spec in any_batch.inputs}
    try:
        fixed = OnnxRuntime(folder / name)
        expected, found = any_batch.run(feeds), fixed.run(feeds)
    except Exception as error:  # onnxruntime raises a dozen unrelated classes
        raise GateError(f"{name} does not run: {' '.join(str(error).split())[:200]}") from error
    half = any(value.dtype == np.float16 for value in expected.values()) or _computes_in_half(model)
    for output, value in expected.items():
        scale = float(np.abs(value).max(initial=0)) if value.dtype.kind == "f" else 1.0
        tolerance = _HALF_TOLERANCE if half else _TOLERANCE
        if not np.allclose(found[output], value, rtol=0, atol=tolerance * scale, equal_nan=True):
            raise GateError(f"{name}: {output} differs from what {MODEL_NAME} gives")


def file_name(batch: int) -> str:
    """What the file is called."""
    return f"model.batch-{batch}.onnx"


def _computes_in_half(model: Path) -> bool:
    import onnx

    half = onnx.TensorProto.FLOAT16
    return any(tensor.data_type == half for tensor in onnx.load(model).graph.initializer)
