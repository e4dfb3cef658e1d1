"""A model on the native kernels: ``model.native.onnx``, with ONNX Runtime for the operators that they do not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.native.graph_file import check_version, read_native_model
from dashdeploy.runtimes.native.library import chosen_instructions
from dashdeploy.runtimes.native.program import Program
from dashdeploy.runtimes.native.shapes import Facts
from dashdeploy.runtimes.native.stages import Stage, portable_model, stages_of
from dashdeploy.runtimes.native.steps import Steps
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

Values = dict[str, Array]


class NativeModel:
    """A model whose convolutions, and most of what stands between them, run in the native kernels.

    Args:
        model: the path of a ``model.native.onnx``, or a serialized one.
        threads: that one call uses; None is one.

    Raises:
        MissingCapabilityError: the library of the native kernels is not there.
        InputError: the model is damaged, was changed, or is for another version.
    """

    def __init__(self, model: Path | bytes, *, threads: int | None = None) -> None:
        self.instructions = chosen_instructions()
        self._threads = threads or 1
        if isinstance(model, bytes):
            loaded = ModelProto.FromString(model)
            check_version(loaded, "the model")
        else:
            loaded = read_native_model(model)
        facts = Facts.of(loaded.graph)
        constants = facts.constants
        given = [value for value in loaded.graph.input if value.name not in constants]
        self.inputs = tuple(map(_spec, given))
        self.outputs = tuple(map(_spec, loaded.graph.output))
        self._programs: list[Program] = []
        stages = stages_of(loaded, facts)
        self.native_share = _share(stages)
        self._runs = [self._stage(loaded, stage, facts) for stage in stages]

    @property
    def packed_bytes(self) -> int:
        """What the packed weights take in memory."""
        return sum(program.constant_bytes for program in self._programs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            InputError: an input is missing, or its shape or type is another one.
        """
        values: Values = {spec.name: _checked(spec, feeds) for spec in self.inputs}
        batches = {array.shape[0] for array in values.values() if array.ndim}
        if len(batches) > 1:
            raise InputError(f"the inputs have batches of {', '.join(map(str, sorted(batches)))}; give one")
        for stage in self._runs:
            stage(values)
        return {spec.name: values[spec.name] for spec in self.outputs}

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        return f"native kernels ({self.instructions}), CPU, {self._threads} thread(s)"

    def _stage(self, model: ModelProto, stage: Stage, facts: Facts) -> Callable[[Values], None]:
        # Nothing that a stage runs with keeps the model: its weights would stay in memory beside the packed ones.
        inputs, outputs = stage.inputs, stage.outputs
        if not stage.native:
            runtime = OnnxRuntime(portable_model(model, stage, facts), threads=self._threads)
            return lambda values: values.update(runtime.run({name: values[name] for name in inputs}))
        program = Steps(stage.nodes, facts, stage.inputs, stage.outputs, self._threads).program
        self._programs.append(program)
        shapes = {name: facts.shapes[name] for name in (*inputs, *outputs)}

        def run(values: Values) -> None:
            arrays = [np.ascontiguousarray(values[name], dtype=np.float32) for name in inputs]
            batch = arrays[0].shape[0]
            if any(
                array.shape[1:] != shapes[name] or array.shape[0] != batch
                for name, array in zip(inputs, arrays, strict=True)
            ):
                raise InputError("a value within the model has not the shape that it was planned for")
            empty = [np.zeros((0, 1), np.float32) for _ in outputs]
            results = program.run(batch, arrays) if batch else empty
            for name, result in zip(outputs, results, strict=True):
                values[name] = result.reshape(batch, *shapes[name])

        return run


def _share(stages: list[Stage]) -> tuple[int, int]:
    """Nodes that run in the native kernels, of how many."""
    native = sum(len(stage.nodes) for stage in stages if stage.native)
    return native, sum(len(stage.nodes) for stage in stages)


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    axes = [
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or f"{value.name}_axis_{index}"
        for index, axis in enumerate(tensor.shape.dim)
    ]
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type or TensorProto.FLOAT)).name
    return TensorSpec(name=value.name, shape=tuple(axes), dtype=dtype)


def _checked(spec: TensorSpec, feeds: Mapping[str, Array]) -> Array:
    if spec.name not in feeds:
        raise InputError(f"the input {spec.name} is missing")
    array = np.asarray(feeds[spec.name])
    fits = len(array.shape) == len(spec.shape) and all(
        wanted == size
        for wanted, size in zip(spec.shape, array.shape, strict=True)
        if isinstance(wanted, int)
    )
    if array.dtype.name != spec.dtype or not fits:
        raise InputError(
            f"{spec.name} is {array.dtype.name} of shape {list(array.shape)}; the model takes {spec.dtype} of "
            f"{list(spec.shape)}"
        )
    return array
