"""Calibration data for int8: a file that the user gives, or the run's own validation samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.export.conversion.samples import read_npz, sample_counts
from dashdeploy.runtimes.base import Array

_NAMES_OF_THE_ONE_INPUT = ("inputs", "x_train", "x")


def load_calibration(path: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Read an ``.npz`` file with one array per input, named after it.

    A model of one input also takes ``inputs``, ``x_train`` or ``x``, so that a run's samples.npz and the
    files of data that search reads will do.

    Args:
        path: the file.
        inputs: the model's inputs.

    Returns:
        [samples, ...] by input name.

    Raises:
        InputError: the file cannot be read, lacks an input, or has one of another shape.
    """
    arrays = read_npz(path, "calibration")
    feeds = {}
    for spec in inputs:
        names = [spec.name, *(_NAMES_OF_THE_ONE_INPUT if len(inputs) == 1 else ())]
        name = next((name for name in names if name in arrays), None)
        if name is None:
            raise InputError(
                f"`calibration={path}` has no array {spec.name}; it has {', '.join(arrays) or 'nothing'}"
            )
        array = arrays[name]
        fits = array.ndim == len(spec.shape) and all(
            isinstance(wanted, str) or wanted == there
            for wanted, there in zip(spec.shape[1:], array.shape[1:], strict=True)
        )
        if not fits or array.size == 0:
            raise InputError(
                f"`calibration={path}`: {name} has the shape {list(array.shape)}, "
                f"but the model's {spec.name} is {' x '.join(map(str, spec.shape))}"
            )
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise InputError(
                f"`calibration={path}`: {name} holds something other than finite numbers; remove it"
            )
        feeds[spec.name] = array.astype(spec.dtype)
    if len(set(sample_counts(feeds, inputs).values())) > 1:
        raise InputError(f"`calibration={path}`: the arrays differ in their number of samples")
    return feeds
