"""Where FFT pays on the device: single layers, direct and by FFT, beside the roofline of the device's own peaks.

The first row compares the peaks that are measured with the published ones of `dashdeploy.export.targets.absent`, and
the shares of them that an estimate counts on. The others compare, per layer, what the estimate chooses for a GPU that
is not here with what is quicker here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from functools import partial
from time import monotonic

import numpy as np
import torch

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.bench.common.device import clock_of
from dashdeploy.bench.gpu_check.network_latency import planned_for
from dashdeploy.bench.gpu_check.report import Figure, Row
from dashdeploy.bench.latency.multiply_adds import measured_gpu_peaks, measured_peak
from dashdeploy.errors import first_line
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.targets.absent import DEVICES, LAUNCH_SECONDS, SHARE_OF_PEAK, Device, named
from dashdeploy.export.targets.base import Target, roofline
from dashdeploy.export.targets.on_this_gpu import TorchCudaTarget
from dashdeploy.export.targets.single_layer import random_weights
from dashdeploy.export.torch.layers import direct_layer
from dashdeploy.runtimes.base import Call
from dashdeploy.runtimes.torch.device import PRECISIONS
from dashdeploy.runtimes.torch.program import TorchProgram
from dashdeploy.timing import interleaved, wall_clock

TOLERANCE = 1e-4
_SECONDS = 0.25
_COPIED = 2**26
"""Numbers of a copy that is timed, 256 MiB: more than any cache holds."""

_CHAIN = 100
"""Launches that follow each other."""


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for the peaks, and one for every layer and batch.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether one small layer will do.
        seconds: what is left when they are over is said.
    """
    end = monotonic() + seconds
    key = planned_for()
    peaks = _peaks(device, quick=quick)
    yield _row_of_peaks(key, peaks, device)
    here = Device("this device", peaks["fp32"], peaks["bandwidth"], "measured")
    target = TorchCudaTarget(device)
    for spec in _specs(device, quick=quick):
        if monotonic() > end:
            yield Row(what=str(spec), reason="left out: the section's time is over")
            continue
        try:
            yield _row(spec, target, here, DEVICES[key], device, quick=quick)
        except (MemoryError, torch.OutOfMemoryError) as error:
            yield Row(what=str(spec), reason=f"left out: {first_line(error)}")


def _specs(device: str, *, quick: bool) -> list[ConvSpec]:
    """Layers of ResNet1D and of a wide residual network, as a search finds them."""
    batches = (1, 64, 256) if device == "cuda" else (1,)
    shapes: list[tuple[int, tuple[int, ...], tuple[int, ...], int]] = [
        (channels, (1000,), (k,), d) for channels in (64, 256) for k, d in ((7, 1), (7, 15), (19, 15))
    ]
    shapes += [(64, (32, 32), (7, 7), d) for d in (1, 3)]
    if quick:
        shapes, batches = [(8, (100,), (15,), 3)], (1,)
    return [
        ConvSpec(
            in_channels=channels,
            out_channels=channels,
            spatial=spatial,
            kernel=kernel,
            strides=(1,) * len(kernel),
            dilations=(d,) * len(kernel),
            pads_begin=tuple(d * (k - 1) // 2 for k in kernel),
            pads_end=tuple(d * (k - 1) // 2 for k in kernel),
            batch=batch,
        )
        for batch in batches
        for channels, spatial, kernel, d in shapes
    ]


def _peaks(device: str, *, quick: bool) -> dict[str, float]:
    """Operations per second by precision, bytes per second of a copy, and seconds of a launch in a chain of them."""
    if device == "cuda":
        found = {name: 2 * peak for name, peak in measured_gpu_peaks(PRECISIONS).items()}
    else:
        found = {"fp32": 2 * measured_peak(torch.get_num_threads())}
    clock = clock_of(device) or wall_clock
    size = _COPIED >> (8 if quick or device == "cpu" else 0)
    source, target, one = (torch.zeros(count, device=device) for count in (size, size, 1))

    def chain() -> None:
        for _ in range(_CHAIN):
            one.add_(1)

    for call in (partial(target.copy_, source), chain):
        call()
    found["bandwidth"] = 2 * 4 * size / (1e-9 * min(clock(partial(target.copy_, source)) for _ in range(5)))
    found["launch"] = 1e-9 * min(clock(chain) for _ in range(5)) / _CHAIN
    return found


def _row_of_peaks(key: str, peaks: dict[str, float], device: str) -> Row:
    profile = DEVICES[key]
    figures: dict[str, Figure] = {
        f"{name}, TFLOP/s": 1e-12 * peak for name, peak in peaks.items() if name in PRECISIONS
    }
    figures["copy, GB/s"] = 1e-9 * peaks["bandwidth"]
    figures["launch, us"] = 1e6 * peaks["launch"]
    figures["fp32 of the published"] = peaks["fp32"] / profile.flops
    figures["copy of the published"] = peaks["bandwidth"] / profile.bandwidth
    figures["estimates count on"] = SHARE_OF_PEAK
    figures["launch, us, estimates count on"] = 1e6 * LAUNCH_SECONDS
    own = device == "cuda" and named(torch.cuda.get_device_name()) == key
    of = "this GPU's own" if own else "another device's, since none are known of this one"
    return Row(what=f"peaks, beside {profile.description}", figures=figures, reason=f"published rates: {of}")


def _row(
    spec: ConvSpec, target: TorchCudaTarget, here: Device, published: Device, device: str, *, quick: bool
) -> Row:
    """Direct and the best of every other kind by estimate, timed; direct in other precisions; and the rooflines."""
    seconds = 0.02 if quick else _SECONDS
    candidates = _candidates(spec, here)
    times, errors = target.measure(candidates, spec, seconds)
    took = [float(np.median(series)) for series in times]
    figures: dict[str, Figure] = {}
    for lowering, median, error in zip(candidates, took, errors, strict=True):
        name = lowering.name
        figures[f"{name}, error"] = error
        figures[f"{name}, ms"] = 1e3 * median
        figures[f"{name}, roofline ms"] = 1e3 * _roof(lowering, spec, here)
        figures[f"{name}, estimated ms"] = 1e3 * published.seconds(lowering, spec)
    figures |= _direct_in_other_precisions(spec, device, seconds)
    quickest = candidates[int(np.argmin(took))]
    estimated = min(candidates, key=lambda each: published.seconds(each, spec))
    figures["quickest"], figures["estimate chooses"] = quickest.label, estimated.label
    # A plan drops Toom-Cook's longest tiles for what they lose; a spectrum has to be right.
    worst = max(error for each, error in zip(candidates, errors, strict=True) if each.name != ToomCook.name)
    fits = worst <= TOLERANCE
    return Row(
        what=str(spec),
        figures=figures,
        passed=fits,
        reason=None if fits else f"differs from direct by {worst:.1e} of the largest output",
    )


def _candidates(spec: ConvSpec, device: Device) -> list[Lowering]:
    """Direct, and the variant of every other lowering that the device's own peaks favor."""
    found: list[Lowering] = []
    for kind in LOWERINGS:
        if kind not in Target.leaves_out and kind.refuses(spec) is None:
            found.append(min(kind.variants(spec), key=lambda each: device.seconds(each, spec)))
    return found


def _roof(lowering: Lowering, spec: ConvSpec, device: Device) -> float:
    return roofline(
        2 * lowering.multiply_adds(spec), device.flops, lowering.bytes_moved(spec), device.bandwidth
    )


def _direct_in_other_precisions(spec: ConvSpec, device: str, seconds: float) -> dict[str, Figure]:
    """Milliseconds of the direct convolution: on tensor cores, where fp32 is not computed."""
    layer = direct_layer(spec, *random_weights(spec))
    names = PRECISIONS[1:] if device == "cuda" else ("bf16",)
    specs = [
        TensorSpec(name=name, shape=("batch", channels, *spatial), dtype="float32")
        for name, channels, spatial in (
            ("x", spec.in_channels, spec.spatial),
            ("y", spec.out_channels, spec.out_spatial),
        )
    ]
    shape = (spec.batch, spec.in_channels, *spec.spatial)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    calls: dict[str, Call] = {}
    for name in names:
        moved = copy.deepcopy(layer).to(device)
        calls[name] = Call(TorchProgram(moved, specs[:1], specs[1:], device=device, precision=name), {"x": x})
    clock = TorchCudaTarget(device).clock()
    times = interleaved(calls, seconds=seconds / 2, min_rounds=3, warmup=0.1, clock=clock)
    medians = {name: 1e3 * float(np.median(series)) for name, series in times.items()}
    return {f"direct in {name}, ms": value for name, value in medians.items() if math.isfinite(value)}
