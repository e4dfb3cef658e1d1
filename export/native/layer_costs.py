"""What the native kernels take for a convolution, measured on this machine or estimated."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.dead_taps import trim
from dashdeploy.export.native.candidates import estimate, fat_tiles, packed_floats, plain, tiles
from dashdeploy.export.passes.native_fusion import NativeChoice
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.single_layer import random_weights
from dashdeploy.machine import cpu_model
from dashdeploy.progress import Progress
from dashdeploy.runtimes.native.graph_file import NativeLayer
from dashdeploy.runtimes.native.library import ABI_VERSION, chosen_instructions
from dashdeploy.runtimes.native.program import Activation, Algorithm, ConvGeometry, Program
from dashdeploy.runtimes.native.shapes import pair, plane
from dashdeploy.timing import Clock, interleaved, thread_clock, wall_clock

_MEASURED = 6
"""Tiles that are timed; the best one is nearly always among these least estimates."""

_FAT_MEASURED = 2
_FAT_GAIN = 0.92
"""Of the time of the best lean tile: what a fat one may take. A layer that is alone has the caches for its taps,
and in a network another one has them."""

_SECONDS_PER_CANDIDATE = 0.06


@dataclass(frozen=True)
class BestKernel:
    """The cheapest kernel of a convolution.

    Attributes:
        spec: the convolution.
        choice: the kernel.
        milliseconds: what every candidate took, by label; empty where nothing was measured.
        lean: the cheapest kernel whose packed taps are within the limit of a network; mostly `choice` itself.
    """

    spec: ConvSpec
    choice: NativeChoice
    milliseconds: dict[str, float]
    lean: NativeChoice

    def loss(self) -> float:
        """Milliseconds that `lean` takes longer, for each float of packed taps that it saves."""
        saved = packed_floats(self.spec, self.choice) - packed_floats(self.spec, self.lean)
        return (self.milliseconds[self.lean.label] - self.milliseconds[self.choice.label]) / max(saved, 1)

    def layer(self, name: str) -> NativeLayer:
        """For people."""
        return NativeLayer(name=name, chosen=self.choice.label, milliseconds=self.milliseconds)


class LayerCosts:
    """Costs of convolutions, each measured once.

    Args:
        settings: the user's wishes: `lowering`, `tune`, `batch` and `threads` count.
        progress: told of each measurement before it starts.
    """

    def __init__(self, settings: ExportSettings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._cache = TuningCache(describe_native(settings.threads))

    def best(self, spec: ConvSpec, place: str) -> BestKernel:
        """The cheapest kernel; where there is but one, it is not measured.

        Args:
            spec: a convolution that a native kernel computes.
            place: what progress calls it.
        """
        spec = spec.model_copy(update={"batch": self._settings.batch})
        candidates = _candidates(spec, self._settings)
        if self._settings.tune != "measure" or len(candidates) == 1:
            choice = min(candidates, key=lambda each: estimate(spec, each))
            return BestKernel(spec, choice, {}, choice)
        fat = fat_tiles(spec, _FAT_MEASURED) if self._settings.lowering != "direct" else []
        costs = self._measured(spec, [*candidates, *fat], place)
        lean = min(candidates, key=lambda each: costs[each.label])
        choice = min(fat, key=lambda each: costs[each.label], default=lean)
        if costs[choice.label] > _FAT_GAIN * costs[lean.label]:
            choice = lean
        return BestKernel(spec, choice, {label: seconds * 1e3 for label, seconds in costs.items()}, lean)

    def seconds(self, spec: ConvSpec, place: str) -> float:
        """Seconds of one call of the cheapest kernel; see `best`."""
        spec = spec.model_copy(update={"batch": self._settings.batch})
        candidates = _candidates(spec, self._settings)
        if self._settings.tune != "measure":
            return min(estimate(spec, each) for each in candidates)
        return min(self._measured(spec, candidates, place).values())

    def _measured(self, spec: ConvSpec, candidates: Sequence[NativeChoice], place: str) -> dict[str, float]:
        """Seconds per call by label, from the cache or measured, all in common rounds."""
        known = self._cache.get(spec.signature)
        if any(each.label not in known for each in candidates):
            threads = self._settings.threads
            self._progress(f"{place}: timing {len(candidates)} native kernels for {spec}")
            calls = {each.label: layer_call(spec, each, threads) for each in candidates}
            # Of one thread its own time counts, which other work on the machine disturbs least.
            fine = time.get_clock_info("thread_time").resolution < 1e-6
            times = interleaved(
                calls,
                seconds=2 * _SECONDS_PER_CANDIDATE * len(calls),
                min_rounds=7,
                warmup=0.1,
                clock=_second_of_two(thread_clock if threads == 1 and fine else wall_clock),
            )
            found = {label: (float(np.median(each)), 0.0) for label, each in times.items()}
            self._cache.add(spec.signature, found)
            known = self._cache.get(spec.signature)
        return {each.label: known[each.label][0] for each in candidates}


def describe_native(threads: int) -> str:
    """The kernels, their version and instruction set, the processor and the threads, in one line."""
    return f"native kernels {ABI_VERSION} ({chosen_instructions()}), {cpu_model()}, {threads} thread(s)"


def _candidates(spec: ConvSpec, settings: ExportSettings) -> list[NativeChoice]:
    direct = plain(spec)
    found = tiles(spec, _MEASURED) if direct.algorithm == "direct" else []
    if settings.lowering == "direct" or not found:
        return [direct]
    return found if settings.lowering == "fft" else [direct, *found]


def _second_of_two(clock: Clock) -> Clock:
    """Times a call after an untimed one: in a network, the layer before leaves memory for spectra in the cache."""

    def timed(call: Callable[[], object]) -> int:
        call()
        return clock(call)

    return timed


def layer_call(spec: ConvSpec, choice: NativeChoice, threads: int) -> Callable[[], object]:
    """A call of one layer on random numbers, channels last."""
    spec = trim(spec)
    weight, bias = random_weights(spec)
    program = Program(threads)
    size, out = plane(spec.spatial), plane(spec.out_spatial)
    x = program.buffer(size[0] * size[1], spec.in_channels)
    y = program.buffer(out[0] * out[1], spec.out_channels)
    program.input(x)
    program.conv(geometry_of(spec, choice), weight, bias, x, y, activation=Activation.RELU)
    program.output(y, out[0] * out[1] * spec.out_channels)
    program.ready()
    generator = np.random.default_rng(0)
    given = generator.standard_normal((spec.batch, size[0] * size[1] * spec.in_channels), dtype=np.float32)
    return lambda: program.run(spec.batch, [given])


def geometry_of(spec: ConvSpec, choice: NativeChoice) -> ConvGeometry:
    """The convolution as a program wants it."""
    rank = spec.rank
    return ConvGeometry(
        in_size=plane(spec.spatial),
        kernel=pair(spec.kernel, rank, 1),
        stride=pair(spec.strides, rank, 1),
        dilation=pair(spec.dilations, rank, 1),
        before=pair(spec.pads_begin, rank, 0),
        out_size=plane(spec.out_spatial),
        groups=spec.groups,
        algorithm=Algorithm[choice.algorithm.upper()],
        tile=pair(choice.tile, rank, 1) if choice.tile else (0, 0),
    )
