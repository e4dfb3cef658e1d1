"""An inference request after decoding, whichever protocol it came by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.classification import classify
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.sequences import SequenceControl


@dataclass(frozen=True)
class OutputRequest:
    """How one output is to be sent.

    Attributes:
        binary: as binary data rather than JSON; has no meaning over gRPC, where every output is binary.
        classes: how many of the highest values to send, each with its index and label; 0 sends the tensor.
    """

    binary: bool = False
    classes: int = 0


@dataclass(frozen=True)
class InferRequest:
    """A decoded inference request.

    Attributes:
        feeds: one array per input of the model; they may share memory with the request's body.
        outputs: the outputs to send, in order.
        id: the request's id, to be echoed; empty if there is none.
        timeout: seconds that the client grants; None leaves it to the server.
        sequence: where in a sequence it stands; then `feeds` has no states. None if it belongs to none.
    """

    feeds: dict[str, Array]
    outputs: dict[str, OutputRequest]
    id: str
    timeout: float | None = None
    sequence: SequenceControl | None = None


def requested_results(
    request: InferRequest, results: Mapping[str, Array], *, labels: list[str], batched: bool
) -> dict[str, Array]:
    """The arrays that `request` wants, in its order: the model's outputs or their classes.

    Raises:
        RequestError: 400, it wants the classes of an output that holds no numbers.
    """
    return {
        name: classify(name, results[name], output.classes, labels, batched=batched)
        if output.classes
        else results[name]
        for name, output in request.outputs.items()
    }


def check_inputs(feeds: Mapping[str, Array], expected: Mapping[str, TensorSpec], model: str) -> None:
    """Refuse a request that lacks an input, or whose inputs disagree about an axis.

    Raises:
        RequestError: 400, one or more are missing, or axes of one name, such as the batch, have different lengths. An
            engine would fail, or silently broadcast a length of 1.
    """
    missing = [name for name in expected if name not in feeds]
    if missing:
        raise RequestError(
            400,
            f"expected {len(expected)} inputs but got {len(feeds)} inputs for model '{model}'; "
            f"missing: {', '.join(missing)}",
        )
    if len(expected) == 1:
        return
    known: dict[str, tuple[str, int]] = {}
    for name, spec in expected.items():
        for axis, length in zip(spec.shape, feeds[name].shape, strict=True):
            if isinstance(axis, int):
                continue
            first, there = known.setdefault(axis, (name, length))
            if there != length:
                raise RequestError(
                    400,
                    f"the inputs of model '{model}' disagree about the axis '{axis}': '{first}' has {there} and "
                    f"'{name}' has {length}",
                )


def timeout_seconds(microseconds: object) -> float | None:
    """The request parameter ``timeout`` in seconds; None if it is absent or 0.

    Raises:
        RequestError: 400, it is not a number of microseconds.
    """
    if microseconds is None:
        return None
    if isinstance(microseconds, bool) or not isinstance(microseconds, int) or microseconds < 0:
        raise RequestError(400, "the parameter 'timeout' is not a number of microseconds")
    return min(microseconds, 2**62) * 1e-6 or None


def class_count(value: object, output: str) -> int:
    """The output parameter ``classification``.

    Raises:
        RequestError: 400, it is not a number from 1 up.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RequestError(
            400, f"output '{output}': the parameter 'classification' is not a number from 1 up"
        )
    return value
