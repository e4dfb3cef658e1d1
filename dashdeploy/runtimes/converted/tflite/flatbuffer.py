"""The flatbuffer of a model for LiteRT: tensors, constants and operators, by the schema that its package brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dashdeploy.errors import InputError

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
_ALIGNMENT = 16
_MOST_BYTES = 2**31 - 1
_TYPES = {"float32": "FLOAT32", "int32": "INT32", "int64": "INT64", "bool": "BOOL"}
_OPTIONS = {
    "ADD": "AddOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "MUL": "MulOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
}
"""The tables of options, of the operators that have one which they need."""

_TYPED_BY = {"TRANSPOSE_CONV": 2}
"""Which input has the type of the output, where it is not the first one."""

_VERSIONS = {"BROADCAST_TO": 2, "TRANSPOSE_CONV": 3}
"""The least version of an operator, where that is not 1."""


@dataclass
class _Tensor:
    shape: Shape
    dtype: str
    data: Array | None = None
    name: str = ""


@dataclass(frozen=True)
class _Operator:
    code: str
    inputs: tuple[int, ...]
    output: int
    options: Mapping[str, Any] = field(default_factory=dict)


class FlatbufferWriter:
    """Collects tensors and operators; a tensor is called by its number.

    Operators whose output nobody reads are left out of the file.
    """

    def __init__(self) -> None:
        self._tensors: list[_Tensor] = []
        self._operators: list[_Operator] = []
        self._constants: dict[tuple[Shape, str, bytes], int] = {}
        self._written: dict[str, int] = {}
        self._reshaped: dict[int, int] = {}

    def shape(self, tensor: int) -> Shape:
        """The shape of a tensor."""
        return self._tensors[tensor].shape

    def tensor(self, shape: Sequence[int], dtype: str = "float32") -> int:
        """Add a tensor that is computed, or given to the model.

        Raises:
            InputError: the files have no such type.
        """
        if dtype not in _TYPES:
            raise InputError(f"LiteRT's files are written without {dtype}; choose another `target`")
        self._tensors.append(_Tensor(tuple(shape), dtype))
        return len(self._tensors) - 1

    def constant(self, array: Array) -> int:
        """Add a constant; equal ones are one tensor."""
        data = np.ascontiguousarray(array)
        key = data.shape, data.dtype.name, data.tobytes()
        if key not in self._constants:
            number = self.tensor(data.shape, data.dtype.name)
            self._tensors[number].data = data
            self._constants[key] = number
        return self._constants[key]

    def integers(self, values: Sequence[int]) -> int:
        """Add a constant of int32."""
        return self.constant(np.asarray(values, np.int32))

    def op(
        self,
        code: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        **options: object,
    ) -> int:
        """Add an operator, and give its one output; equal ones are written once.

        Args:
            code: in the schema, such as ``CONV_2D``.
            inputs: tensors; -1 stands for one that is left out.
            shape: of the output, whose type is an input's.
            options: of the operator, as the schema's Python classes call them.
        """
        key = repr((code, tuple(inputs), tuple(shape), sorted(options.items())))
        if key not in self._written:
            output = self._written[key] = self.tensor(
                shape, self._tensors[inputs[_TYPED_BY.get(code, 0)]].dtype
            )
            self._operators.append(_Operator(code, tuple(inputs), output, options))
        return self._written[key]

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        """The tensor in another shape; of reshapes in a row one is left."""
        source = self.before_reshape(tensor)
        found = self._tensors[source]
        if found.shape == tuple(shape):
            return source
        if found.data is not None:
            return self.constant(found.data.reshape(shape))
        output = self.op("RESHAPE", (source, self.integers(shape)), shape, newShape=[*shape])
        self._reshaped[output] = source
        return output

    def before_reshape(self, tensor: int) -> int:
        """What a tensor was before it got another shape; itself where that is all."""
        return self._reshaped.get(tensor, tensor)

    def copied(self, tensor: int) -> int:
        """The tensor once more, computed."""
        found = self._tensors[tensor]
        return self.op("RESHAPE", (tensor, self.integers(found.shape)), found.shape, newShape=[*found.shape])

    def content(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file.

        Args:
            inputs: tensors of the model's inputs, by name, in order.
            outputs: tensors of its outputs; each is computed, and by one name.

        Raises:
            InputError: the constants need more than a flatbuffer holds.
        """
        if sum(tensor.data.nbytes for tensor in self._tensors if tensor.data is not None) > _MOST_BYTES:
            raise InputError("LiteRT's files hold at most 2 GB; choose another `target`")
        for name, tensor in (*inputs.items(), *outputs.items()):
            self._tensors[tensor].name = name
        return self._packed(self._needed(outputs.values()), inputs, outputs)

    def _needed(self, outputs: Sequence[int] | Any) -> list[_Operator]:  # noqa: ANN401 - any iterable
        wanted, kept = set(outputs), []
        for operator in reversed(self._operators):
            if operator.output in wanted:
                wanted.update(operator.inputs)
                kept.append(operator)
        return kept[::-1]

    def _packed(
        self, operators: Sequence[_Operator], inputs: Mapping[str, int], outputs: Mapping[str, int]
    ) -> bytes:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        used = {*inputs.values(), *(t for each in operators for t in (*each.inputs, each.output) if t >= 0)}
        places = {tensor: place for place, tensor in enumerate(sorted(used))}
        codes = list(dict.fromkeys(each.code for each in operators))
        buffers, tensors = [_buffer(schema, None)], []
        for tensor in places:
            found = self._tensors[tensor]
            packed = schema.TensorT(
                shape=[*found.shape],
                type=getattr(schema.TensorType, _TYPES[found.dtype]),
                name=found.name or f"t{tensor}",
                hasRank=True,
            )
            if found.data is not None:
                packed.buffer = len(buffers)
                buffers.append(_buffer(schema, found.data))
            tensors.append(packed)
        graph = schema.SubGraphT(
            tensors=tensors,
            inputs=[places[tensor] for tensor in inputs.values()],
            outputs=[places[tensor] for tensor in outputs.values()],
            operators=[_packed_operator(schema, each, codes, places) for each in operators],
            name="main",
        )
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(name, places[tensor]) for name, tensor in inputs.items()],
            outputs=[schema.TensorMapT(name, places[tensor]) for name, tensor in outputs.items()],
            signatureKey="serving_default",
        )
        model = schema.ModelT(
            version=_SCHEMA_VERSION,
            operatorCodes=[_packed_code(schema, code) for code in codes],
            subgraphs=[graph],
            description="dashdeploy",
            buffers=buffers,
            signatureDefs=[signature],
        )
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())


def _packed_operator(
    schema: Any,  # noqa: ANN401 - the package has no types
    operator: _Operator,
    codes: Sequence[str],
    places: Mapping[int, int],
) -> Any:  # noqa: ANN401
    table = _OPTIONS.get(operator.code)
    return schema.OperatorT(
        opcodeIndex=codes.index(operator.code),
        inputs=[places.get(tensor, -1) for tensor in operator.inputs],
        outputs=[places[operator.output]],
        builtinOptionsType=getattr(schema.BuiltinOptions, table) if table else 0,
        builtinOptions=getattr(schema, f"{table}T")(**operator.options) if table else None,
    )


def _packed_code(schema: Any, code: str) -> Any:  # noqa: ANN401
    number = getattr(schema.BuiltinOperator, code)
    # Readers of the first schema have one byte for it, of which the last value refers them to the new place.
    return schema.OperatorCodeT(
        deprecatedBuiltinCode=min(number, 127), builtinCode=number, version=_VERSIONS.get(code, 1)
    )


def _buffer(schema: Any, data: Array | None) -> Any:  # noqa: ANN401
    """A buffer whose data lie on the boundary that the schema asks for, which its Python classes do not heed."""
    if data is None or not prod(data.shape):
        return schema.BufferT()

    class Aligned(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: ANN401, N802 - the name that the schema's classes call
            content = self.data.tobytes()
            builder.Prep(_ALIGNMENT, len(content))
            vector = builder.CreateByteVector(content)
            schema.BufferStart(builder)
            schema.BufferAddData(builder, vector)
            return schema.BufferEnd(builder)

    return Aligned(data=data)
