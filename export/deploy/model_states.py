"""Which outputs of a model are the next values of its inputs, as the user says it or as names and shapes tell it.

A pair is tried before it is recorded: the model must run on what it gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from dashdeploy.artifacts.states import states_problem, suggested_states
from dashdeploy.errors import InputError, first_line
from dashdeploy.progress import Progress
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.example_inputs import ExampleInputs


def model_states(
    load: Callable[[], Runtime], wanted: Mapping[str, str] | Literal["auto"], progress: Progress
) -> dict[str, str]:
    """The states to record; where none are wanted, what there may be is told.

    Args:
        load: loads the model.
        wanted: the output by the input, or ``"auto"`` for what names and shapes tell.
        progress: told of states that were not asked for, or were found.

    Returns:
        The output that is the next value of each input that holds a state, by the input's name.

    Raises:
        InputError: a pair names no tensors of the model or does not fit, the model does not run on what it gave, or
            no states were found.
    """
    runtime = load()
    if len(runtime.inputs) < 2 and not wanted:
        return {}
    found = suggested_states(runtime.inputs, runtime.outputs)
    if not wanted:
        if found and _step_problem(runtime, found) is None:
            pairs = " and ".join(f"`states={name}={next_name}`" for name, next_name in found.items())
            progress(
                f"the model looks as if it kept a state: {pairs} would let servers keep it for sequences"
            )
        return {}
    if wanted == "auto":
        if not found:
            tensors = "; ".join(
                f"{kind} {', '.join(spec.name for spec in specs)}"
                for kind, specs in (("inputs", runtime.inputs), ("outputs", runtime.outputs))
            )
            raise InputError(
                f"`states=auto`: no input and output are a pair by their names and shapes ({tensors}); "
                "write `states=INPUT=OUTPUT`"
            )
        states = found
        progress(f"states: {', '.join(f'{name}={next_name}' for name, next_name in found.items())}")
    else:
        states = dict(wanted)
    pairs = ",".join(f"{name}={next_name}" for name, next_name in states.items())
    problem = states_problem(states, runtime.inputs, runtime.outputs) or _step_problem(runtime, states)
    if problem is not None:
        raise InputError(f"`states={pairs}`: {problem}")
    return states


def _step_problem(runtime: Runtime, states: Mapping[str, str]) -> str | None:
    """Why two steps, of which the second takes the states of the first, fail; None if they do not."""
    feeds = ExampleInputs.of(runtime.run, runtime.inputs).feeds(1, np.random.default_rng(0))
    feeds |= {name: np.zeros_like(feeds[name]) for name in states}
    try:
        first = runtime.run(feeds)
    except Exception as error:  # every engine raises classes of its own
        return f"the model does not run on states of zeros: {first_line(error)}"
    try:
        runtime.run(feeds | {name: first[next_name] for name, next_name in states.items()})
    except Exception as error:
        return f"the model does not run on the states that it gave: {first_line(error)}"
    return None
