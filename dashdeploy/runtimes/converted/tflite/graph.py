"""A graph for LiteRT while it is written: values whose axes lie in another order than ONNX's, until that matters.

LiteRT convolves channels last. A value says in which order its axes lie, so that a transpose is written only where
two orders meet, and none where all axes that change places have the length 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashdeploy.errors import InputError
from dashdeploy.runtimes.converted.tflite.flatbuffer import Array, FlatbufferWriter, Shape
from dashdeploy.runtimes.converted.tflite.rows import RowMoves


@dataclass(frozen=True)
class Value:
    """A value of the ONNX model.

    Attributes:
        tensor: that holds it.
        shape: in the ONNX model.
        axes: which of its axes each axis of the tensor is; None is a further one of length 1. Every axis is there.
    """

    tensor: int
    shape: Shape
    axes: tuple[int | None, ...]

    @property
    def rank(self) -> int:
        """Axes in the ONNX model."""
        return len(self.shape)

    @property
    def in_order(self) -> bool:
        """Whether the numbers lie as in the ONNX model."""
        order = [axis for axis in self.axes if axis is not None and self.shape[axis] > 1]
        return order == sorted(order)

    def laid_out(self, sizes: Sequence[int], missing: int) -> list[int]:
        """Numbers given for each axis of the ONNX value, for the axes of the tensor.

        Args:
            sizes: one for each axis.
            missing: for the axes that the ONNX value lacks.
        """
        return [missing if axis is None else int(sizes[axis]) for axis in self.axes]


class Graph:
    """The values that were written so far, by name, and what is known of the ONNX model.

    Args:
        shapes: of all values of the ONNX model.
        constants: its constants, by name.
    """

    def __init__(self, shapes: Mapping[str, Shape], constants: Mapping[str, Array]) -> None:
        self.writer = FlatbufferWriter()
        self.moves = RowMoves(self.writer)
        self._shapes = shapes
        self._constants = constants
        self._values: dict[str, Value] = {}

    def shape(self, name: str) -> Shape:
        """The shape of a value of the ONNX model.

        Raises:
            InputError: it depends on numbers that are computed.
        """
        if name in self._constants:
            return self._constants[name].shape
        if name not in self._shapes:
            raise InputError(f"LiteRT needs the shape of every value, and that of {name} is not known before")
        return self._shapes[name]

    def constant(self, name: str) -> Array | None:
        """A constant, or None where the value is computed."""
        return self._constants.get(name)

    def value(self, name: str) -> Value:
        """A value that was written, or a constant."""
        array = self._constants.get(name)
        if array is not None:
            tensor = self.writer.constant(array)
            return Value(tensor, array.shape, tuple(range(array.ndim)))
        return self._values[name]

    def store(self, name: str, value: Value) -> None:
        """Keep what a node gives."""
        self._values[name] = value

    def arranged(self, value: Value, axes: Sequence[int | None]) -> Value:
        """The value with its axes in the order `axes`; a reshape where that moves no number."""
        axes = tuple(axes)
        if value.axes == axes:
            return value
        result = Value(value.tensor, value.shape, axes)
        shape = result.laid_out(value.shape, 1)
        order = [axis for axis in value.axes if axis is not None and value.shape[axis] > 1]
        wanted = [axis for axis in axes if axis is not None and value.shape[axis] > 1]
        if order == wanted:
            tensor = self.writer.reshape(value.tensor, shape)
        else:
            dense = self.writer.reshape(value.tensor, [value.shape[axis] for axis in order])
            moved = self.writer.op(
                "TRANSPOSE",
                (dense, self.writer.integers([order.index(axis) for axis in wanted])),
                [value.shape[axis] for axis in wanted],
            )
            tensor = self.writer.reshape(moved, shape)
        return Value(tensor, value.shape, axes)

    def plain(self, value: Value) -> Value:
        """The value as the ONNX model has it."""
        return self.arranged(value, range(value.rank))

    def last(self, value: Value, axis: int) -> Value:
        """The value with `axis` as the last of its tensor, the others as they are."""
        if value.axes[-1] == axis:
            return value
        return self.arranged(value, [*(each for each in value.axes if each not in (axis, None)), axis])

    def reshaped(self, value: Value, shape: Sequence[int]) -> Value:
        """The numbers of the value in another shape, in the order of the ONNX model."""
        source = value if value.in_order else self.plain(value)
        tensor = self.writer.reshape(source.tensor, shape)
        return Value(tensor, tuple(shape), tuple(range(len(shape))))

    def op(self, code: str, inputs: Sequence[int], like: Value, shape: Shape, **options: Any) -> Value:  # noqa: ANN401
        """Write an operator whose output has the axes of `like` and the ONNX shape `shape`."""
        result = Value(-1, shape, like.axes)
        tensor = self.writer.op(code, inputs, result.laid_out(shape, 1), **options)
        return Value(tensor, shape, like.axes)

    def cut(self, value: Value, begin: Sequence[int], end: Sequence[int]) -> Value:
        """Everything from `begin` up to `end` along each axis."""
        sizes = [int(e) - int(b) for b, e in zip(begin, end, strict=True)]
        if tuple(sizes) == value.shape:
            return value
        bounds = (
            self.writer.integers(value.laid_out(begin, 0)),
            self.writer.integers(value.laid_out(sizes, 1)),
        )
        return self.op("SLICE", (value.tensor, *bounds), value, tuple(sizes))
