"""Parity: does the compiled model agree with the reference?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.source import Reference
from dashdeploy.runtimes import Runtime
from dashdeploy.runtimes.base import Array
from dashdeploy.tensor_spec import TensorSpec

TOLERANCE = {"fp32": 1e-5}
"""Largest difference as a share of the largest magnitude of the reference's output, by precision."""

_RANDOM_BATCHES = (1, 3)


class OutputParity(BaseModel):
    """How one output agrees with the reference on one set of inputs.

    Attributes:
        output: the output's name.
        inputs: which inputs: ``random, batch 3`` or ``validation, batch 256``.
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
    """

    model_config = ConfigDict(extra="forbid")

    precision: str
    reference: str
    tolerance: float
    outputs: list[OutputParity]

    @property
    def worst(self) -> float:
        """The largest relative error; infinite where an output is not a number."""
        return max((entry.max_relative_error for entry in self.outputs), default=0.0)


def check_parity(
    runtime: Runtime,
    reference: Reference,
    reference_name: str,
    samples: Mapping[str, Array],
    precision: str = "fp32",
) -> Parity:
    """Compare a model with its reference on random inputs of two batch sizes, and on real ones if any.

    Raises:
        GateError: an output differs by more than the precision's tolerance; the message names each.
    """
    generator = np.random.default_rng(0)
    sets: list[tuple[str, Mapping[str, Array]]] = [
        (f"random, batch {batch}", {spec.name: _random(spec, batch, generator) for spec in runtime.inputs})
        for batch in _batches(runtime.inputs)
    ]
    if samples:
        sets.append((f"validation, batch {len(next(iter(samples.values())))}", samples))
    outputs = []
    for label, feeds in sets:
        expected, got = reference(feeds), runtime.run(feeds)
        outputs += [_compare(name, label, got[name], expected[name]) for name in expected]
    parity = Parity(
        precision=precision, reference=reference_name, tolerance=TOLERANCE[precision], outputs=outputs
    )
    failed = [entry for entry in outputs if not entry.max_relative_error <= parity.tolerance]
    if failed:
        _refuse_if_random(reference, sets[0][1])
        differences = "; ".join(
            f"{entry.output} ({entry.inputs}) differs by {entry.max_relative_error:.2e}" for entry in failed
        )
        raise GateError(
            f"the compiled model does not agree with {reference_name}: {differences}, tolerance "
            f"{parity.tolerance:.0e}; nothing was written; --lowering direct leaves the model as it is"
        )
    return parity


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
    dynamic = any(isinstance(spec.shape[0], str) for spec in inputs if spec.shape)
    return _RANDOM_BATCHES if dynamic else _RANDOM_BATCHES[:1]


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
