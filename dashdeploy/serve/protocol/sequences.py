"""Sequence requests: the parameters that say to which sequence a request belongs, and the states that it begins with.

Source: Triton, "Sequence Extension" and "Implicit State Management". As there, a state begins with zeros, and a
dynamic axis of it that no input of the request has is 1 long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.serve.protocol.errors import RequestError

SequenceId = int | str
"""A number from 1 up, or text; ``7`` and ``"7"`` are two sequences."""

_LONGEST_ID = 128
"""The most bytes of an id that is text, as in Triton."""


@dataclass(frozen=True)
class SequenceControl:
    """Where in a sequence a request stands.

    Attributes:
        id: the sequence's, which the client chose.
        start: whether it is the first request; the states begin with zeros.
        end: whether it is the last one; the states are freed after it.
    """

    id: SequenceId
    start: bool = False
    end: bool = False


@dataclass(frozen=True)
class ModelInterface:
    """What requests are checked against.

    Attributes:
        name: the model's name.
        inputs: the model's inputs by name, in order.
        outputs: the model's outputs by name, in order.
        states: the output that is the next value of each input that holds a state, by the input's name.
    """

    name: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    states: Mapping[str, str]

    def of_a_request(self, control: SequenceControl | None) -> ModelInterface:
        """What a client sends and gets by default: of a sequence without the states, otherwise everything."""
        if control is None:
            return self
        next_states = set(self.states.values())
        others = {name: spec for name, spec in self.outputs.items() if name not in next_states}
        inputs = {name: spec for name, spec in self.inputs.items() if name not in self.states}
        return ModelInterface(self.name, inputs, others or self.outputs, self.states)

    def refuse_input(self, name: str, control: SequenceControl | None) -> RequestError:
        """Why an input of this name cannot be sent."""
        if control is not None and name in self.states:
            return RequestError(
                400,
                f"input '{name}' of model '{self.name}' is a state, which the server keeps for a sequence; "
                "leave it out",
            )
        return RequestError(400, f"unexpected inference input '{name}' for model '{self.name}'")


InterfaceOf = Callable[[SequenceControl], ModelInterface]
"""The interface of the model that a sequence's request runs on; raises where the request is refused."""


def sequence_control(parameters: Mapping[str, object], model: str) -> SequenceControl | None:
    """What a request's parameters say of its sequence; None if it belongs to none.

    Args:
        parameters: ``sequence_id``, ``sequence_start`` and ``sequence_end``, as far as they are there.
        model: the model's name, for the messages.

    Raises:
        RequestError: 400, a parameter is of another type, or a flag stands without an id.
    """
    if not parameters:
        return None
    sequence_id = parameters.get("sequence_id")
    start, end = (_flag(parameters, name) for name in ("sequence_start", "sequence_end"))
    if sequence_id is None or (sequence_id in ("", 0) and not isinstance(sequence_id, (bool, float))):
        if start or end:
            raise RequestError(
                400,
                f"inference request to model '{model}' must specify a non-zero or non-empty correlation ID, "
                "the parameter 'sequence_id'",
            )
        return None
    return SequenceControl(_checked_id(sequence_id), start, end)


def initial_states(interface: ModelInterface, feeds: Mapping[str, Array], *, limit: int) -> dict[str, Array]:
    """The states of zeros that a sequence begins with.

    A dynamic axis is as long as the axis of that name in the request's inputs. A state's batch axis may have a name
    of its own; it is as long as the inputs' (see `ExampleInputs`).

    Args:
        interface: of the model.
        feeds: the request's inputs, checked.
        limit: the most bytes of a state.

    Raises:
        RequestError: 413, a state would be larger than `limit`.
    """
    examples = ExampleInputs(tuple(interface.inputs.values()))
    lengths: dict[str, int] = {}
    batch = 1
    for name, array in feeds.items():
        spec = interface.inputs[name]
        axis = examples.batch_axis(spec)
        if axis is not None and isinstance(spec.shape[axis], str):
            batch = array.shape[axis]
        for dimension, length in zip(spec.shape, array.shape, strict=True):
            if isinstance(dimension, str):
                lengths[dimension] = length
    states: dict[str, Array] = {}
    for name in interface.states:
        spec = interface.inputs[name]
        at_batch = examples.batch_axis(spec)
        shape = [
            axis if isinstance(axis, int) else lengths.get(axis, batch if index == at_batch else 1)
            for index, axis in enumerate(spec.shape)
        ]
        size = math.prod(shape) * np.dtype(spec.dtype).itemsize
        if size > limit:
            raise RequestError(
                413, f"the state '{name}' of shape {shape} takes {size} bytes, more than the limit of {limit}"
            )
        states[name] = np.zeros(shape, spec.dtype)
    return states


def _flag(parameters: Mapping[str, object], name: str) -> bool:
    value = parameters.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise RequestError(400, f"the parameter '{name}' is not true or false")
    return value


def _checked_id(value: object) -> SequenceId:
    if isinstance(value, str):
        if len(value.encode("utf-8", "replace")) > _LONGEST_ID:
            raise RequestError(400, f"the parameter 'sequence_id' has more than {_LONGEST_ID} bytes")
        return value
    # A signed and an unsigned number of 64 bits: gRPC has the former, which Triton reads as the latter.
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**64:
        raise RequestError(400, "the parameter 'sequence_id' is neither an integer of 64 bits nor text")
    return value % 2**64
