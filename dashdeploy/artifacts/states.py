"""The states of a model: inputs whose next values are outputs of it, such as the hidden state of a recurrent network.

Whoever runs a model step by step feeds these outputs back. A bundle that names them is served by sequences: then the
server keeps the states.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dashdeploy.artifacts.tensor_spec import TensorSpec

_MARKS = frozenset(
    {"in", "input", "out", "output", "init", "initial", "final", "past", "present", "prev", "previous"}
    | {"next", "new", "n", "cur", "current", "last", "old", "updated"}
)
"""Words that tell a state from its next value, in names such as ``past_key`` and ``present_key``."""

_JOINED = {"hn": "h", "cn": "c", "hx": "h", "cx": "c"}
"""PyTorch's names of recurrent states, in which such a word is one letter of the name."""


def states_problem(
    states: Mapping[str, str], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> str | None:
    """What is wrong with the pairs of a state's input and output; None if nothing is.

    Args:
        states: the output by the input.
        inputs: the model's inputs.
        outputs: the model's outputs.
    """
    known_inputs = {spec.name: spec for spec in inputs}
    known_outputs = {spec.name: spec for spec in outputs}
    for name, next_name in states.items():
        for each, known, kind in ((name, known_inputs, "input"), (next_name, known_outputs, "output")):
            if each not in known:
                return f"the model has no {kind} {each!r}; it has {', '.join(known)}"
        given, returned = known_inputs[name], known_outputs[next_name]
        if given.dtype == "object":
            return f"the input {name!r} is text, which is not a state"
        if not _fits(given, returned):
            return (
                f"the output {next_name!r} ({_described(returned)}) is not a next value of the input {name!r} "
                f"({_described(given)})"
            )
    if len(set(states.values())) < len(states):
        return "two inputs have one output as their next value"
    if states and len(states) == len(inputs):
        return "every input is a state, so that a request would have none"
    return None


def suggested_states(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, str]:
    """The pairs that names and shapes tell without a doubt: ``h0`` and ``hn``, ``state_in`` and ``state_out``, ...

    An input and an output are a pair if they have one shape and one type, and their names differ by words such as
    "in" and "out" alone; or, if these are the only ones, by numbers as well.

    Returns:
        The output by the input; empty where there are none, or where no input would be left.
    """
    found: dict[str, str] = {}
    for with_numbers in (True, False):
        left = [spec for spec in inputs if spec.name not in found and spec.dtype != "object"]
        open_outputs = [spec for spec in outputs if spec.name not in found.values()]
        fitting = {
            spec.name: [
                other.name
                for other in open_outputs
                if _root(spec.name, with_numbers=with_numbers)
                == _root(other.name, with_numbers=with_numbers)
                != ""
                and _fits(spec, other)
            ]
            for spec in left
        }
        taken = [name for names in fitting.values() for name in names]
        found |= {
            name: names[0]
            for name, names in fitting.items()
            if len(names) == 1 and taken.count(names[0]) == 1
        }
    return found if len(found) < len(inputs) else {}


def _fits(given: TensorSpec, returned: TensorSpec) -> bool:
    return (
        given.dtype == returned.dtype
        and len(given.shape) == len(returned.shape)
        and all(
            isinstance(one, str) or isinstance(other, str) or one == other
            for one, other in zip(given.shape, returned.shape, strict=True)
        )
    )


def _described(spec: TensorSpec) -> str:
    return f"{spec.dtype} {' x '.join(map(str, spec.shape))}"


def _root(name: str, *, with_numbers: bool) -> str:
    """A name without the words that tell a state from its next value, and perhaps without its numbers."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).lower()
    words = [_JOINED.get(word, word) for word in re.findall(r"[a-z]+|\d+", spaced)]
    return " ".join(word for word in words if word not in _MARKS and (with_numbers or word.isalpha()))
