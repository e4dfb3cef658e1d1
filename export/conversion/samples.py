"""Real inputs in ``.npz`` files: an array per input, named after it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, first_line
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.verify.batches import fixed_batch, run_on_all
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs

MOST_SAMPLES = 256
"""As many as a run keeps of its validation samples: they are run in one call."""


def read_npz(path: Path, parameter: str) -> dict[str, Array]:
    """The arrays of a file.

    Args:
        path: the file.
        parameter: what messages call it.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        AttributeError,
        TypeError,
        EOFError,
    ) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"`{parameter}={path}` cannot be read as an .npz file: {reason}") from error


def with_samples(
    source: Source, path: Path, inputs: Sequence[TensorSpec], progress: Progress = silent
) -> Source:
    """A source with the real inputs of a file, instead of none.

    Args:
        source: an ONNX model or a torch module.
        path: an ``.npz`` file with an array per input: [samples, ...] as the model's input is, of its type.
        inputs: the model's.
        progress: told what is left out.

    Raises:
        InputError: the source is a run, which has samples; the file cannot be read, does not fit the model, or the
            model does not run on it.
    """
    if source.samples:
        raise InputError(
            f"`samples` is for models without any: {source.path} has validation samples; leave it out"
        )
    arrays = read_npz(path, "samples")
    unused = [name for name in arrays if name not in {spec.name for spec in inputs}]
    several = fixed_batch(inputs) is not None
    feeds = {spec.name: _fitting(spec, arrays, path, several=several) for spec in inputs}
    if unused:
        progress(f"{path.name}: {', '.join(unused)} is not an input of the model and is not used")
    counts = sample_counts(feeds, inputs)
    if len(set(counts.values())) > 1:
        differ = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"`samples={path}`: the arrays differ in their number of samples: {differ}")
    count = next(iter(counts.values()), 1)
    if count > MOST_SAMPLES:
        progress(f"taking the first {MOST_SAMPLES} of {count} samples")
        feeds = ExampleInputs(tuple(inputs)).first(feeds, MOST_SAMPLES)
    check_runs(source, "samples", path, inputs, feeds)
    return replace(source, samples=feeds, samples_name="samples")


def check_runs(
    source: Source, parameter: str, path: Path, inputs: Sequence[TensorSpec], feeds: Mapping[str, Array]
) -> None:
    """Refuse samples that the model does not run on; their length may not do.

    Raises:
        InputError: it does not.
    """
    try:
        run_on_all(source.reference, inputs, feeds)
    except Exception as error:  # every engine raises classes of its own
        raise InputError(
            f"`{parameter}={path}`: the model does not run on them: {first_line(error.__cause__ or error)}"
        ) from error


def sample_counts(feeds: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> dict[str, int]:
    """How many samples the inputs hold that have a batch, by name."""
    examples = ExampleInputs(tuple(inputs))
    axes = {spec.name: examples.batch_axis(spec) for spec in inputs}
    return {name: feeds[name].shape[axis] for name, axis in axes.items() if axis is not None}


def _fitting(spec: TensorSpec, arrays: Mapping[str, Array], path: Path, *, several: bool) -> Array:
    """The array of an input, of its type and of a shape that it takes; `several` calls of a fixed batch, maybe."""
    array = arrays.get(spec.name)
    if array is None:
        raise InputError(
            f"`samples={path}` has no array {spec.name}; it has {', '.join(arrays) or 'nothing'}"
        )
    fits = array.ndim == len(spec.shape) and all(
        isinstance(wanted, str) or wanted == there or (several and axis == 0)
        for axis, (wanted, there) in enumerate(zip(spec.shape, array.shape, strict=True))
    )
    if not fits or array.size == 0:
        wanted = " x ".join(map(str, spec.shape)) or "one number"
        raise InputError(
            f"`samples={path}`: {spec.name} has the shape {list(array.shape)}, but the model's is {wanted}"
        )
    if spec.dtype == "object" and array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype != np.dtype(spec.dtype):
        raise InputError(
            f"`samples={path}`: {spec.name} is {array.dtype}, but the model's is {spec.dtype}; "
            f"save it as {spec.dtype}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"`samples={path}`: {spec.name} holds infinities or not-a-numbers; remove them")
    return array
