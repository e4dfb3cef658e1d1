"""Parity: does the compiled model agree with the reference?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import GateError, InputError
from dashdeploy.export.frontend.source import Reference
from dashdeploy.export.verify.accuracy import Accuracy, accuracy
from dashdeploy.export.verify.batches import fixed_batch, run_on_all
from dashdeploy.runtimes.base import Array, Runtime

TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 0.5}
"""Largest difference as a share of the largest magnitude of the reference's output, by precision.

Half precision keeps 11 bits, so that one rounding is up to 5e-4, and roundings add up over layers. Eight bits change
a single output by tens of percent without changing its class: what judges them is the accuracy.
"""

_RANDOM_BATCHES = (1, 3)

_NOT_JUDGED = ", not judged"


class OutputParity(BaseModel):
    """How one output agrees with the reference on one set of inputs.

    Attributes:
        output: the output's name.
        inputs: which inputs: ``random, batch 3`` or ``validation, batch 256``; those that end with ``not judged``
            are there to be compared with later.
        max_abs_error: largest difference of an element.
        max_relative_error: that, as a share of the largest magnitude of the reference's output.
        cosine: cosine similarity of the flattened outputs.
        top1_agreement: share of rows with the same largest element; None where the output has no classes.
    """

    model_config = ConfigDict(extra="forbid")

    output: str
    inputs: str
    max_abs_error: float
    max_relative_error: float
    cosine: float
    top1_agreement: float | None


class Parity(BaseModel):
    """The content of ``parity.json``.

    Attributes:
        precision: the compiled model's.
        reference: what the outputs were compared with.
        tolerance: the largest `max_relative_error` allowed.
        outputs: one entry per output and set of inputs.
        accuracy: on the task's validation samples; None where there are none, or they have no targets.
        compiled_in_fp16: how much of the FFT and Toom-Cook convolutions is in half precision, for fp16:
            ``everything``, ``products`` (with the transformed taps) or ``nothing``.
    """

    model_config = ConfigDict(extra="forbid")

    precision: str
    reference: str
    tolerance: float
    outputs: list[OutputParity]
    accuracy: Accuracy | None = None
    compiled_in_fp16: str | None = None

    @property
    def worst(self) -> float:
        """The largest relative error that is judged; infinite where an output is not a number."""
        return max((entry.max_relative_error for entry in self._judged), default=0.0)

    @property
    def failed(self) -> list[OutputParity]:
        """The entries that are beyond the tolerance, those that are not a number included."""
        return [entry for entry in self._judged if not entry.max_relative_error <= self.tolerance]

    @property
    def _judged(self) -> list[OutputParity]:
        return [entry for entry in self.outputs if not entry.inputs.endswith(_NOT_JUDGED)]


Feeds = Mapping[str, Array]


def check_parity(
    runtime: Runtime,
    reference: Reference,
    reference_name: str,
    samples: Feeds,
    precision: str = "fp32",
    *,
    targets: Array | None = None,
    max_accuracy_drop: float = 0.01,
) -> Parity:
    """Compare a model with its reference on random inputs of two batch sizes, and on real ones if any.

    Args:
        runtime: the compiled model.
        reference: computes what it must say, in float32.
        reference_name: what computes it, in words.
        samples: real inputs by name; may be empty.
        precision: the compiled model's.
        targets: what the task wants for each sample, if known; see `accuracy`.
        max_accuracy_drop: by how much the accuracy on them may be lower than the reference's.

    Raises:
        GateError: an output differs by more than the precision's tolerance, or the accuracy drops too far; the
            message names each.
    """
    sets = input_sets(runtime.inputs, samples, precision)
    expected = [run_on_all(reference, runtime.inputs, feeds) for _, feeds in sets]
    got = [run_on_all(runtime.run, runtime.inputs, feeds) for _, feeds in sets]
    labels = [label for label, _ in sets]
    parity = compare_sets(labels, got, expected, reference_name, precision)
    failed = parity.failed
    if failed:
        _refuse_if_random(reference, sets[0][1])
        raise GateError(_differences(failed, reference_name, parity))
    if samples and targets is not None:
        first = next(iter(expected[-1]))
        share = accuracy(
            np.asarray(got[-1][first]), np.asarray(expected[-1][first]), targets, max_accuracy_drop
        )
        parity = parity.model_copy(update={"accuracy": share})
        if share is not None and share.fails:
            raise GateError(
                f"in {precision} the {share.measure} on {share.samples} validation samples is {share.model:.4f}, "
                f"{reference_name} has {share.reference:.4f}: a drop of more than "
                f"`max_accuracy_drop={max_accuracy_drop}`; nothing was written; "
                "allow more, or choose another `precision`"
            )
    return parity


def input_sets(
    inputs: tuple[TensorSpec, ...], samples: Feeds, precision: str = "fp32"
) -> list[tuple[str, Feeds]]:
    """Labelled inputs to compare on: random ones of two batch sizes, then the real ones if any.

    A model in int8 is judged on real inputs alone: it was calibrated for those.
    """
    generator = np.random.default_rng(0)
    judged = _NOT_JUDGED if precision == "int8" and samples else ""
    sets: list[tuple[str, Feeds]] = [
        (f"random, batch {batch}{judged}", {spec.name: _random(spec, batch, generator) for spec in inputs})
        for batch in _batches(inputs)
    ]
    if samples:
        sets.append((f"validation, batch {len(next(iter(samples.values())))}", samples))
    return sets


def compare_sets(
    labels: Sequence[str],
    got: Sequence[Feeds],
    expected: Sequence[Feeds],
    reference_name: str,
    precision: str = "fp32",
) -> Parity:
    """Compare outputs by name, set by set; judges nothing."""
    outputs = [
        _compare(name, label, ours[name], theirs[name])
        for label, ours, theirs in zip(labels, got, expected, strict=True)
        for name in theirs
    ]
    return Parity(
        precision=precision, reference=reference_name, tolerance=TOLERANCE[precision], outputs=outputs
    )


def _differences(failed: Sequence[OutputParity], reference_name: str, parity: Parity) -> str:
    differences = "; ".join(
        f"{entry.output} ({entry.inputs}) differs by {entry.max_relative_error:.2e}" for entry in failed
    )
    mend = "`lowering=direct` leaves the model as it is"
    if parity.precision != "fp32":
        mend = f"{parity.precision} does not hold this model; choose another `precision`"
    return (
        f"the compiled model does not agree with {reference_name}: {differences}, tolerance "
        f"{parity.tolerance:.0e}; nothing was written; {mend}"
    )


def _refuse_if_random(reference: Reference, feeds: Mapping[str, Array]) -> None:
    """A reference that disagrees with itself explains a difference."""
    first, second = reference(feeds), reference(feeds)
    for name in first:
        if _compare(name, "", second[name], first[name]).max_relative_error > 1e-3:
            raise InputError(
                f"output {name} differs between two runs of the same model on the same input: it holds random "
                "operators or dropout in training mode, and cannot be checked; export it for inference"
            )


def _batches(inputs: tuple[TensorSpec, ...]) -> tuple[int, ...]:
    """A fixed batch admits one size only."""
    fixed = fixed_batch(inputs)
    return _RANDOM_BATCHES if fixed is None else (fixed,)


def _random(spec: TensorSpec, batch: int, generator: np.random.Generator) -> Array:
    try:
        return spec.random(batch, generator)
    except TypeError as error:  # a type that NumPy does not have, such as strings or sequences
        raise InputError(
            f"input {spec.name} has the type {spec.dtype}, which parity cannot be checked on; "
            "export the part of the model behind it"
        ) from error


def _numbers(got: Array, expected: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Both as numbers; text is equal to the other, or as far off as what is not a number."""
    if expected.dtype.kind in "OSU" and got.shape == expected.shape:
        return np.where(got == expected, 0.0, np.nan), np.zeros(expected.shape)
    return got.astype(np.float64), expected.astype(np.float64)


def _compare(name: str, label: str, got: Array, expected: Array) -> OutputParity:
    a, b = _numbers(np.asarray(got), np.asarray(expected))
    if a.shape != b.shape:
        raise GateError(f"output {name} has shape {a.shape}, the reference {b.shape}; nothing was written")
    finite = np.isfinite(b)
    # Where the reference itself is not a number the compiled model must say the same.
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        difference = float("inf")
    else:
        difference = float(np.abs(a[finite] - b[finite]).max(initial=0.0))
    scale = float(np.abs(b[finite]).max(initial=0.0)) or 1.0
    norms = float(np.linalg.norm(a[finite]) * np.linalg.norm(b[finite]))
    cosine = float(np.dot(a[finite], b[finite])) / norms if norms else 1.0
    classes = a.ndim == 2 and a.shape[1] > 1
    return OutputParity(
        output=name,
        inputs=label,
        max_abs_error=difference,
        max_relative_error=difference / scale,
        cosine=min(1.0, cosine),
        top1_agreement=float(np.mean(a.argmax(1) == b.argmax(1))) if classes else None,
    )
