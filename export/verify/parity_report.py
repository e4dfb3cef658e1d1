"""How outputs agree with those of a reference: channel by channel, beside the reference's own rounding noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from dashdeploy.errors import GateError
from dashdeploy.export.verify.accuracy import Accuracy
from dashdeploy.runtimes.base import Array

_Largest = npt.NDArray[np.float64]

_AT_A_TIME = 2**20
"""Numbers that are compared at a time, or one channel."""

NOT_JUDGED = ", not judged"

_NOISES = 2.0
"""How many times the reference's own noise a difference may hold: that of the reference, and the model's own."""

_MOST_NOISE = 5e-3
"""Noise beyond which a reference is too unsteady to excuse anything: a share of a channel's size."""


class OutputParity(BaseModel):
    """How one output agrees with the reference on one set of inputs.

    A channel is a slice of an output of three axes or more, along its second axis or its last one, whichever is
    shorter; other outputs are one channel.

    Attributes:
        output: the output's name.
        inputs: which inputs: ``random, batch 3`` or ``validation, batch 256``; those that end with ``not judged``
            are there to be compared with later.
        max_abs_error: largest difference of an element.
        max_relative_error: the largest difference within a channel, as a share of the channel's largest magnitude in
            the reference's output; of the channel where it is the largest multiple of what is allowed.
        noise: the same for the reference against itself in that channel; 0 where it did not need to be measured.
        cosine: cosine similarity of the flattened outputs.
        top1_agreement: share of rows with the same largest element; None where the output has no classes.
    """

    model_config = ConfigDict(extra="forbid")

    output: str
    inputs: str
    max_abs_error: float
    max_relative_error: float
    noise: float = 0.0
    cosine: float
    top1_agreement: float | None

    def allowed(self, tolerance: float) -> float:
        """The largest `max_relative_error` that passes."""
        return tolerance + _NOISES * min(self.noise, _MOST_NOISE)


class EngineParity(BaseModel):
    """How the model that was written agrees with the reference in one engine.

    Attributes:
        engine: engine, version, device and threads, in words.
        error: the largest relative error that is judged.
    """

    model_config = ConfigDict(extra="forbid")

    engine: str
    error: float


class Parity(BaseModel):
    """The content of ``parity.json``.

    Attributes:
        precision: the compiled model's.
        reference: what the outputs were compared with.
        tolerance: the largest `max_relative_error` allowed, beside twice the reference's own noise.
        outputs: one entry per output and set of inputs.
        accuracy: on the task's validation samples; None where there are none, or they have no targets.
        compiled_in_fp16: how much of the FFT and Toom-Cook convolutions is in half precision, for fp16:
            ``everything``, ``products`` (with the transformed taps) or ``nothing``.
        kept_in_fp32: for fp16, what stays in float32 for the sake of parity: values by name.
        engines: where the model was run and agrees, and nowhere else; empty in bundles of version 0.1.
    """

    model_config = ConfigDict(extra="forbid")

    precision: str
    reference: str
    tolerance: float
    outputs: list[OutputParity]
    accuracy: Accuracy | None = None
    compiled_in_fp16: str | None = None
    kept_in_fp32: list[str] = Field(default_factory=list)
    engines: list[EngineParity] = Field(default_factory=list)

    @property
    def worst(self) -> float:
        """The largest relative error that is judged; infinite where an output is not a number."""
        return max((entry.max_relative_error for entry in self._judged), default=0.0)

    @property
    def failed(self) -> list[OutputParity]:
        """The entries that are beyond what is allowed, those that are not a number included."""
        return [
            entry for entry in self._judged if not entry.max_relative_error <= entry.allowed(self.tolerance)
        ]

    @property
    def allowed_in_words(self) -> str:
        """The tolerance, and what the reference's noise adds to it."""
        noise = max((entry.noise for entry in self._judged), default=0.0)
        beside = f" and twice the reference's own noise, {noise:.1e}" if noise > self.tolerance / 10 else ""
        return f"{self.tolerance:.0e}{beside}"

    @property
    def strain(self) -> float:
        """The largest error as a multiple of what is allowed: above 1, parity fails."""
        return max((e.max_relative_error / e.allowed(self.tolerance) for e in self._judged), default=0.0)

    @property
    def _judged(self) -> list[OutputParity]:
        return [entry for entry in self.outputs if not entry.inputs.endswith(NOT_JUDGED)]


def compare(
    name: str, label: str, got: Array, expected: Array, noise: Array | None = None, tolerance: float = 1e-5
) -> OutputParity:
    """Compare one output with the reference's.

    Args:
        name: the output's.
        label: of the inputs.
        got: the model's output.
        expected: the reference's.
        noise: by how much the reference's elements move by themselves; None leaves that out.
        tolerance: what parity allows beside that; it decides which channel is the worst one.

    Raises:
        GateError: the shapes differ.
    """
    a, b = _numbers(np.asarray(got), np.asarray(expected))
    if a.shape != b.shape:
        raise GateError(f"output {name} has shape {a.shape}, the reference {b.shape}; nothing was written")
    channels = [_compare_channels(*part) for part in _parts(a, b, noise)]
    errors, sizes, noises = (np.concatenate([each[i] for each in channels]) for i in range(3))
    same = all(each[3] for each in channels)
    product, mine, theirs = (sum(each[4][i] for each in channels) for i in range(3))
    sizes = np.where(sizes > 0, sizes, float(sizes.max(initial=0.0)) or 1.0)
    noises = noises / sizes
    strains = errors / sizes / (tolerance + _NOISES * np.minimum(noises, _MOST_NOISE))
    worst = int(np.argmax(strains)) if strains.size else None
    relative = 0.0 if worst is None else float(errors[worst] / sizes[worst])
    norms = float(np.sqrt(mine) * np.sqrt(theirs))
    classes = a.ndim == 2 and a.shape[1] > 1 and a.size > 0
    return OutputParity(
        output=name,
        inputs=label,
        max_abs_error=float(errors.max(initial=0.0)) if same else float("inf"),
        max_relative_error=relative if same else float("inf"),
        noise=0.0 if worst is None else float(noises[worst]),
        cosine=min(1.0, product / norms if norms else 1.0),
        top1_agreement=float(np.mean(_classes(a) == _classes(b))) if classes else None,
    )


_Sums = tuple[float, float, float]


def _compare_channels(
    a: Array, b: Array, noise: Array | None
) -> tuple[_Largest, _Largest, _Largest, bool, _Sums]:
    """Of channels, [channels, everything else]: errors, sizes and noises; whether NaN agrees; and sums.

    The sums are the inner product of all elements of both, and the squares of their norms.
    """
    mine, theirs = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(theirs)
    # Where the reference itself is not a number the compiled model must say the same.
    same = np.array_equal(np.isfinite(mine), finite) and np.array_equal(
        mine[~finite], theirs[~finite], equal_nan=True
    )
    mine, theirs = np.where(finite & np.isfinite(mine), mine, 0.0), np.where(finite, theirs, 0.0)
    noises = np.zeros(len(b)) if noise is None else _largest(noise.astype(np.float64))
    sums = float(np.vdot(mine, theirs)), float(np.vdot(mine, mine)), float(np.vdot(theirs, theirs))
    return _largest(mine - theirs), _largest(theirs), noises, same, sums


def _parts(a: Array, b: Array, noise: Array | None) -> Iterator[tuple[Array, Array, Array | None]]:
    """Both outputs and the noise, some channels at a time: in double precision large outputs fill the memory."""
    mine, theirs = _by_channel(a), _by_channel(b)
    beside = None if noise is None else _by_channel(np.asarray(noise))
    step = max(1, _AT_A_TIME // max(mine.shape[1], 1))
    for start in range(0, max(len(mine), 1), step):
        some = slice(start, start + step)
        yield mine[some], theirs[some], None if beside is None else beside[some]


def _classes(values: Array) -> npt.NDArray[np.int64]:
    """Of each row the place of the largest number, what is not a number counting as zero."""
    return np.asarray(np.where(np.isfinite(values), values, 0.0).argmax(1))


def _by_channel(values: Array) -> Array:
    """[channels, everything else]; see `OutputParity` for what a channel is."""
    if values.ndim < 3 or not values.size:
        return values.reshape(1, values.size)
    axis = 1 if values.shape[1] <= values.shape[-1] else values.ndim - 1
    return np.asarray(np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1))


def _largest(values: _Largest) -> _Largest:
    """The largest magnitude of each channel, of [channels, everything else]."""
    return np.asarray(np.abs(values).max(axis=1, initial=0.0))


def _numbers(got: Array, expected: Array) -> tuple[Array, Array]:
    """Both as numbers; text is equal to the other, or as far off as what is not a number."""
    if expected.dtype.kind in "OSU" and got.shape == expected.shape:
        return np.where(got == expected, 0.0, np.nan), np.zeros(expected.shape)
    return got, expected
