"""In pieces of how many samples ONNX Runtime is to run batches of a compiled model: measured, like the plan."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Call, Runtime, processor_clock
from dashdeploy.runtimes.batch_axis import has_batch_axis, warm_up
from dashdeploy.timing import interleaved

_SIZES = (1, 2, 4, 8, 16)
_SECONDS, _ROUNDS = 1.0, 3

_NO_DEARER = 1.02
"""What a sample may cost in a piece, as a share of what it costs alone."""

_CHEAPER = 0.99
"""What a sample must cost in a larger piece, as a share of the cost in a smaller one: large ones take memory."""

_LEAST_SECONDS = 1e-3
"""That a piece must take: cutting a batch up, and handing a piece to a thread, costs some microseconds."""

_MOST_SECONDS = 2.0
"""Of a single sample, above which nothing is measured: the sizes together are 31 samples, three times."""


def measure_piece(
    runtime: Runtime, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], progress: Progress = silent
) -> int | None:
    """The samples of a piece in which a sample costs least, if it costs no more in any smaller piece than alone.

    Args:
        runtime: the compiled model on one thread.
        inputs: its inputs, with the names of their dynamic axes.
        outputs: its outputs.
        progress: told what is being done.

    Returns:
        None where batches run as a whole: their rows depend on each other, other axes are dynamic too, or a run is
        too quick for anything to be gained.
    """
    if any(isinstance(axis, str) for spec in inputs for axis in spec.shape[1:]):
        return None
    probe = warm_up(runtime, inputs)
    if probe is None or not has_batch_axis(runtime, inputs, outputs, probe):
        return None
    if processor_clock(Call(runtime, probe)) > 1e9 * _MOST_SECONDS:
        return None
    progress("timing batches: how many samples the engine is to run at once")
    generator = np.random.default_rng(0)
    calls = {
        str(size): Call(runtime, {spec.name: spec.random(size, generator) for spec in inputs})
        for size in _SIZES
    }
    times = interleaved(calls, seconds=_SECONDS, min_rounds=_ROUNDS, warmup=0.0, clock=processor_clock)
    return choose_piece({size: float(np.median(times[str(size)])) for size in _SIZES})


def choose_piece(seconds: dict[int, float]) -> int | None:
    """The size of a piece; see `measure_piece`.

    Args:
        seconds: of a run, by its samples in ascending order, from 1 on.
    """
    alone, best = seconds[1], 1
    for size, taken in seconds.items():
        if taken / size > _NO_DEARER * alone:
            break
        if taken / size < _CHEAPER * seconds[best] / best:
            best = size
    return best if seconds[best] >= _LEAST_SECONDS else None
