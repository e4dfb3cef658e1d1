"""The one interface behind which every inference engine stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dashdeploy.artifacts.tensor_spec import TensorSpec

Array = npt.NDArray[np.generic]


class Runtime(Protocol):
    """A loaded model on an engine. Implementations may be called from several threads at once.

    Attributes:
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once.

        Args:
            feeds: one array per input, by name, of the input's shape and dtype.

        Returns:
            One array per output, by name.
        """
        ...

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        ...


@dataclass(frozen=True)
class Call:
    """One run of a model on given inputs, to be timed.

    Attributes:
        runtime: the model.
        feeds: as for `Runtime.run`.
    """

    runtime: Runtime
    feeds: Mapping[str, Array]

    def __call__(self) -> dict[str, Array]:
        """Run the model once."""
        return self.runtime.run(self.feeds)


def engine_clock(call: Callable[[], object]) -> int:
    """Times a call, in nanoseconds: a clock for `dashdeploy.timing.interleaved`.

    A runtime in another process says how long the run took there (its attribute ``inside_nanoseconds``); the way
    there and back is not a part of the engine.

    Args:
        call: a `Call`; anything else has the wall clock's time.
    """
    start = perf_counter_ns()
    call()
    elapsed = perf_counter_ns() - start
    inside = getattr(call.runtime, "inside_nanoseconds", None) if isinstance(call, Call) else None
    return elapsed if inside is None else int(inside)


def processor_clock(call: Callable[[], object]) -> int:
    """Times a call of one thread by what it takes of the processor: a clock as `engine_clock`.

    On a machine that is shared it says what the wall clock would say alone: a call that waits for its turn takes
    4 ms longer, or none, and candidates of 1 ms are told apart by luck.

    Args:
        call: a `Call`; of a runtime in another process, that is asked (its method ``processor_nanoseconds``).
    """
    read = getattr(call.runtime, "processor_nanoseconds", None) if isinstance(call, Call) else None
    if read is None:
        read = process_time_ns
    elif read() is None:  # this system does not tell
        return engine_clock(call)
    start = int(read())
    call()
    return max(1, int(read()) - start)
