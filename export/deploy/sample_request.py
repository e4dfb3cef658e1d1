"""The sample in a bundle: one request of the Open Inference Protocol, ready to be sent.

For a run it holds a real validation example, so that whoever tries a bundle sees the model at its task.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.artifacts.bundle import SAMPLE_NAME
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs

_MOST_VALUES = 200_000
"""Two megabytes of text; a larger input is too large for a person to read."""


def write_sample_request(folder: Path, examples: ExampleInputs, samples: Mapping[str, Array]) -> None:
    """Write ``sample.json``, unless the inputs are large or of a type that the protocol does not have.

    Args:
        folder: the bundle that is being written.
        examples: of the model's inputs.
        samples: real inputs by name, of one batch; empty takes random numbers.
    """
    inputs = examples.inputs
    if any(spec.dtype not in DATATYPE_BY_NUMPY_NAME for spec in inputs):
        return
    batch = examples.fixed_batch or 1
    feeds = examples.first(samples, batch) if samples else examples.feeds(batch, np.random.default_rng(0))
    if sum(feeds[spec.name].size for spec in inputs) > _MOST_VALUES:
        return
    tensors = [_tensor(spec, feeds[spec.name]) for spec in inputs]
    (folder / SAMPLE_NAME).write_text(json.dumps({"inputs": tensors}) + "\n", encoding="utf-8")


def _tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    flat = array.astype(spec.dtype).reshape(-1)
    return {
        "name": spec.name,
        "shape": list(array.shape),
        "datatype": DATATYPE_BY_NUMPY_NAME[spec.dtype],
        "data": _shortest(flat) if flat.dtype.kind == "f" else flat.tolist(),
    }


def _shortest(flat: Array) -> list[float]:
    """The values in as few digits as tell them apart in their own type, which is half of what float64 takes."""
    return [float(str(value)) for value in np.nan_to_num(flat)]
