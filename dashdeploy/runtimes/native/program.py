"""A program of the native kernels: steps over buffers of rows, channels last."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from dashdeploy.errors import InputError
from dashdeploy.runtimes.native.library import (
    ConvStruct,
    PoolStruct,
    RowsStruct,
    chosen_instructions,
    load_library,
)

Floats = npt.NDArray[np.float32]
Pair = tuple[int, int]


class Algorithm(IntEnum):
    """How a convolution is computed."""

    DIRECT = 0
    FFT = 1
    DEPTHWISE = 2


class Activation(IntEnum):
    """What is applied to the result of a step."""

    NONE = 0
    RELU = 1
    GELU = 2
    SIGMOID = 3
    TANH = 4
    RELU_SUM = 5
    RELU_SUM_RELU = 6


@dataclass(frozen=True)
class Rows:
    """Channels of a buffer: `channels` of every row, from `offset` on, rows being `stride` floats apart."""

    buffer: int
    channels: int
    stride: int
    offset: int = 0

    def _struct(self) -> RowsStruct:
        return RowsStruct(self.buffer, self.offset, self.stride)


@dataclass(frozen=True)
class ConvGeometry:
    """A convolution of two spatial axes; one of one axis has planes of height 1.

    Attributes:
        in_size, kernel, stride, dilation, before, out_size: per axis; `before` are the zeros before the input.
        groups: independent groups of channels.
        algorithm: how it is computed.
        tile: of the FFT: (1, T) along the last axis alone, or (T1, T2); T and T2 are even.
    """

    in_size: Pair
    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    out_size: Pair
    groups: int = 1
    algorithm: Algorithm = Algorithm.DIRECT
    tile: Pair = (0, 0)


_NOWHERE = RowsStruct(-1, 0, 0)


class Program:
    """Steps that were planned for this machine. It may run from several threads at once when it is `ready`.

    Args:
        threads: that one run uses.
        instructions: the instruction set; None takes the environment's or the best.

    Raises:
        MissingCapabilityError: the library of the native kernels is not there.
        InputError: this machine lacks the instruction set.
    """

    def __init__(self, threads: int = 1, instructions: str | None = None) -> None:
        self._library = load_library()
        self.instructions = chosen_instructions(instructions)
        self._handle = self._library.dd_new(self.instructions.encode(), threads)
        if not self._handle:
            raise InputError(f"native kernels: {self._message()}")
        self._outputs: list[int] = []
        self._inputs = 0

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            self._library.dd_free(handle)

    @property
    def constant_bytes(self) -> int:
        """What the packed weights take."""
        return int(self._library.dd_constant_bytes(self._handle))

    def buffer(self, positions: int, channels: int) -> Rows:
        """A buffer of `positions` rows per sample."""
        number = self._library.dd_buffer(self._handle, positions * channels)
        self._check(number < 0)
        return Rows(number, channels, channels)

    def input(self, rows: Rows) -> None:
        """Take the buffer from the caller of `run`."""
        self._check(self._library.dd_input(self._handle, rows.buffer))
        self._inputs += 1

    def output(self, rows: Rows, floats: int) -> None:
        """Give the buffer of `floats` per sample to the caller of `run`."""
        self._check(self._library.dd_output(self._handle, rows.buffer))
        self._outputs.append(floats)

    def conv(
        self,
        geometry: ConvGeometry,
        weight: Floats,
        bias: Floats | None,
        x: Rows,
        y: Rows,
        *,
        added: Rows | None = None,
        activation: Activation = Activation.NONE,
    ) -> None:
        """Y = activation(convolution of x + bias + added); weight: [out, in / groups, *kernel].

        The activation may be none, ReLU, or ReLU before the sum, and then after it, too.
        """
        g = geometry
        pairs = [
            (ctypes.c_int32 * 2)(*pair)
            for pair in (g.in_size, g.kernel, g.stride, g.dilation, g.before, g.out_size)
        ]
        spec = ConvStruct(
            x.channels, y.channels, g.groups, *pairs, g.algorithm, (ctypes.c_int32 * 2)(*g.tile), activation
        )
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        if weight.size != y.channels * (x.channels // g.groups) * g.kernel[0] * g.kernel[1]:
            raise InputError("native kernels: the weight does not fit the convolution")
        self._check(
            self._library.dd_conv(
                self._handle, ctypes.byref(spec), *map(_pointer, (weight, bias)), *map(_rows, (x, added, y))
            )
        )

    def pool(
        self, geometry: ConvGeometry, x: Rows, y: Rows, *, mean: bool = False, count_padding: bool = False
    ) -> None:
        """The largest value or the mean of every window."""
        g = geometry
        pairs = [
            (ctypes.c_int32 * 2)(*pair)
            for pair in (g.in_size, g.kernel, g.stride, g.dilation, g.before, g.out_size)
        ]
        spec = PoolStruct(x.channels, *pairs, mean, count_padding)
        self._check(self._library.dd_pool(self._handle, ctypes.byref(spec), *map(_rows, (x, y))))

    def affine(
        self,
        positions: int,
        x: Rows,
        y: Rows,
        *,
        scale: Floats | None = None,
        shift: Floats | None = None,
        added: Rows | None = None,
        activation: Activation = Activation.NONE,
    ) -> None:
        """Y = activation(scale x + shift + added), channel by channel."""
        arrays = map(_pointer, (scale, shift))
        self._check(
            self._library.dd_affine(
                self._handle, positions, y.channels, *arrays, activation, *map(_rows, (x, added, y))
            )
        )

    def layer_norm(
        self, positions: int, x: Rows, y: Rows, scale: Floats, shift: Floats | None, epsilon: float
    ) -> None:
        """Layer normalization over the channels of every row."""
        arrays = map(_pointer, (scale, shift))
        self._check(
            self._library.dd_layer_norm(
                self._handle, positions, y.channels, *arrays, epsilon, *map(_rows, (x, y))
            )
        )

    def transpose(self, rows: int, columns: int, x: Rows, y: Rows) -> None:
        """The matrix [rows, columns] of every sample, turned."""
        self._check(self._library.dd_transpose(self._handle, rows, columns, x.buffer, y.buffer))

    def ready(self) -> None:
        """Plan the buffers; nothing can be added afterwards."""
        self._check(self._library.dd_ready(self._handle))

    def run(self, batch: int, inputs: Sequence[Floats]) -> list[Floats]:
        """Run once: contiguous arrays of `batch` samples to one array [batch, floats] per output."""
        outputs = [np.empty((batch, floats), dtype=np.float32) for floats in self._outputs]
        if len(inputs) != self._inputs:
            raise InputError(f"native kernels: the program has {self._inputs} inputs, not {len(inputs)}")
        given = (ctypes.c_void_p * max(1, len(inputs)))(*(array.ctypes.data for array in inputs))
        taken = (ctypes.c_void_p * len(outputs))(*(array.ctypes.data for array in outputs))
        self._check(self._library.dd_run(self._handle, batch, given, taken))
        return outputs

    def _check(self, failed: int) -> None:
        if failed:
            raise InputError(f"native kernels: {self._message()}")

    def _message(self) -> str:
        return str(self._library.dd_error().decode())


def _pointer(array: Floats | None) -> object:
    if array is None:
        return None
    return np.ascontiguousarray(array, dtype=np.float32).ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def _rows(rows: Rows | None) -> RowsStruct:
    return _NOWHERE if rows is None else rows._struct()
