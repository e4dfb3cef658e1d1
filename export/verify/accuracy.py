"""How right a model is on samples with known targets, beside the reference it came from."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from dashdeploy.runtimes.base import Array

CLASSES, LABELS, REGRESSION = "accuracy", "label accuracy", "1 - relative L2 error"
"""Share of right classes; share of right decisions of a multi-label model, which are right by sign; regression."""


class Accuracy(BaseModel):
    """What a model gets right, at most 1.

    Attributes:
        measure: how that is counted.
        samples: on how many.
        reference: the reference's.
        model: the compiled model's.
        allowed_drop: by how much the model's may be lower.
    """

    model_config = ConfigDict(extra="forbid")

    measure: str = CLASSES
    samples: int
    reference: float
    model: float
    allowed_drop: float

    @property
    def fails(self) -> bool:
        """Whether the model's is lower than allowed, or no number."""
        return not self.reference - self.model <= self.allowed_drop


def accuracy(got: Array, expected: Array, targets: Array, allowed_drop: float) -> Accuracy | None:
    """Judge a model and its reference on the same samples.

    Args:
        got: the model's output. [samples, classes, ...] for class indices [samples, ...]; otherwise as the targets.
        expected: the reference's output.
        targets: class indices, zeros and ones, or numbers.
        allowed_drop: by how much the model may be worse.

    Returns:
        None where the targets do not belong to the output.
    """
    measure = _measure(expected, targets)
    if measure is None:
        return None
    reference, model = (_value(measure, output, targets) for output in (expected, got))
    return Accuracy(
        measure=measure, samples=len(targets), reference=reference, model=model, allowed_drop=allowed_drop
    )


def _measure(output: Array, targets: Array) -> str | None:
    whole = targets.dtype.kind in "iub"
    if (
        whole
        and output.ndim >= 2
        and output.shape[1] >= 2
        and targets.shape == output.shape[:1] + output.shape[2:]
    ):
        return CLASSES
    if targets.shape != output.shape or not targets.size:
        return None
    if whole:
        return LABELS if np.isin(targets, (0, 1)).all() else None
    return REGRESSION if np.isfinite(targets).all() and np.any(targets) else None


def _value(measure: str, output: Array, targets: Array) -> float:
    found, wanted = output.astype(np.float64), targets.astype(np.float64)
    if measure == CLASSES:
        return float(np.mean(found.argmax(1) == wanted))
    if measure == LABELS:
        return float(np.mean((found > 0) == (wanted > 0)))
    return 1.0 - float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
