"""Targets: which there are, what they measure, and what is estimated of those that are not here."""

import re

import numpy as np
import pytest

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.absent import DEVICES
from dashdeploy.export.targets.channels_last import ChannelsLast
from dashdeploy.export.targets.cpu import OpenVinoTarget, OrtCpuTarget
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.targets.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes.base import processor_clock
from dashdeploy.runtimes.gpus import find_gpus
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.convolutions import conv

SPEC = conv(8, 8, 200, 15, pads=7)


@pytest.mark.parametrize("kind", [OrtCpuTarget, OpenVinoTarget])
def test_engines_measure_and_agree(kind):
    if kind is OpenVinoTarget:
        pytest.importorskip("openvino", reason="the openvino extra is not installed")
    target = kind(1)
    times, errors = target.measure([Direct(), FFT((40,))], SPEC, seconds=0.02)
    assert [len(series) for series in times] == [len(times[0])] * 2
    assert len(times[0]) >= 7
    assert all((series > 0).all() for series in times)
    assert errors[0] == 0
    assert 0 < errors[1] < 1e-5  # another order of summation, the same numbers
    assert target.name in ("ort-cpu", "openvino")
    assert "1 thread(s)" in target.describe()


def test_candidates_are_costed_with_one_thread():
    two, one = OrtCpuTarget(2, memory=10**9), OrtCpuTarget(1)
    assert one.for_candidates() is one
    assert two.for_candidates().describe() == one.describe()
    assert two.for_candidates().memory == 10**9
    assert two.for_candidates().clock() is processor_clock


def test_batch_scales_the_estimate():
    target, many = OrtCpuTarget(1), SPEC.model_copy(update={"batch": 8})
    # Samples count eight times; the weights and the operator itself do once.
    weights = 4 * SPEC.out_channels * SPEC.in_channels // SPEC.groups * SPEC.kernel[0]
    once = weights / 30e9 + 5e-6
    expected = 8 * (target.estimate(Direct(), SPEC) - once) + once
    assert target.estimate(Direct(), many) == pytest.approx(expected)
    # The spectra of the taps are read once, whatever the batch.
    assert target.estimate(FFT((40,)), many) < 8 * target.estimate(FFT((40,)), SPEC)


def test_every_figure_of_an_absent_device_names_its_source():
    assert set(DEVICES) == {"h100", "a100", "l4", "rtx-4090", "orin"}
    for device in DEVICES.values():
        assert re.match("NVIDIA .*(datasheet|whitepaper|technical brief)$", device.source)
        assert 1e12 < device.flops < 1e14
        assert 1e11 < device.bandwidth < 1e13


def test_absent_devices_are_estimated():
    settings = ExportSettings(target="tensorrt", device="h100", tune="estimate")
    target = target_of(settings)
    assert not target.present
    assert "NVIDIA H100 SXM5 80 GB, estimated" in target.describe()
    small = target.estimate(Direct(), SPEC)
    # Far too small for an H100: the launch of one kernel is all there is to see.
    assert small == pytest.approx(3e-6, rel=0.3)
    assert target.estimate(FFT((40,)), SPEC) > 15 * small
    wide = SPEC.model_copy(
        update={"in_channels": 1024, "out_channels": 1024, "spatial": (20000,), "kernel": (31,), "batch": 32}
    )
    assert target.estimate(FFT((128,)), wide) < target.estimate(Direct(), wide)


def test_a_direct_layer_at_the_peak_takes_its_flops():
    wide = SPEC.model_copy(update={"in_channels": 1024, "out_channels": 1024, "batch": 64})
    flops = 2 * wide.multiply_adds
    target = target_of(ExportSettings(target="ort-cuda", device="a100", tune="estimate"))
    assert target.estimate(Direct(), wide) == pytest.approx(flops / (0.5 * 19.5e12) + 3e-6)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target": "tensorrt", "tune": "estimate"}, InputError, "which device.*h100, a100"),
        ({"target": "tensorrt", "device": "h1000", "tune": "estimate"}, InputError, "h1000`: no such device"),
        ({"target": "ort-cpu", "device": "h100"}, InputError, "this machine's CPU"),
        ({"target": "ort-cuda", "device": "l4"}, MissingCapabilityError, "`tune=estimate`"),
        ({"target": "ort-cuda"}, InputError, "which device"),
    ],
)
def test_impossible_targets_are_named(settings, error, message):
    with pytest.raises(error, match=message):
        target_of(ExportSettings(**settings))


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_tensorrt_is_measured_on_a_gpu_or_not_at_all(name):
    with pytest.raises(MissingCapabilityError, match=r"needs .*GPU.*`tune=estimate` `device=h100`"):
        target_of(ExportSettings(target=name))


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_tensorrt_measures_and_agrees(name):
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    pytest.importorskip(name.replace("-", "_"))
    times, errors = target_of(ExportSettings(target=name)).measure([Direct(), FFT((40,))], SPEC, seconds=0.02)
    assert all((series > 0).all() for series in times)
    assert 0 < errors[1] < 1e-5


UNITS = {  # lanes, GHz, bits of the memory's bus, Gbit per second of each
    "h100": (16896, 1.98, 5120, 5.23),
    "a100": (6912, 1.41, 5120, 3.186),
    "l4": (7424, 2.04, 192, 12.5),
    "rtx-4090": (16384, 2.52, 384, 21),
    "orin": (2048, 1.3, 256, 6.4),
}


def test_published_rates_are_those_of_the_units():
    assert UNITS.keys() == DEVICES.keys()
    for name, (lanes, gigahertz, bits, gigabits) in UNITS.items():
        device = DEVICES[name]
        assert device.source
        assert device.flops == pytest.approx(2e9 * lanes * gigahertz, rel=0.01)
        assert device.bandwidth == pytest.approx(1e9 * bits / 8 * gigabits, rel=0.01)


def test_a_candidate_that_needs_more_memory_takes_for_ever():
    long = SPEC.model_copy(
        update={"spatial": (20000,)}
    )  # 640 KB in and out, and several times that for tiles
    target = OrtCpuTarget(1, memory=2_500_000)
    times, errors = target.measure([Direct(), FFT((16,))], long, seconds=0.01)
    assert np.isfinite(times[0]).all()
    assert np.isinf(times[1]).all()
    assert errors[1] == np.inf
    with pytest.raises(MemoryError):
        OrtCpuTarget(1, memory=1000).measure([Direct(), FFT((16,))], long, seconds=0.01)
    times, _ = OrtCpuTarget(1).measure([Direct(), FFT((16,))], long, seconds=0.01)
    assert np.isfinite(times[1]).all()


def test_only_tensorrt_keeps_operators_on_constants():
    estimated = ExportSettings(target="tensorrt-rtx", device="rtx-4090", tune="estimate")
    assert OrtCpuTarget(1).folds_constants
    assert not target_of(estimated).folds_constants


def test_taps_come_first_on_the_cpu_where_channels_leave_columns_empty():
    target = OrtCpuTarget(1)
    assert target.forms_for(conv(100, 100, 200, 7)) == ["grouped", "taps first"]
    assert target.forms_for(conv(100, 64, 200, 7, groups=4)) == ["grouped"]
    assert target.forms_for(conv(64, 72, 200, 7, groups=4)) == ["grouped", "taps first"]


def test_only_webassembly_is_slow_at_relu():
    assert not OrtCpuTarget(1).slow_at_relu
    try:
        assert target_of(ExportSettings(target="ort-web")).slow_at_relu
    except MissingCapabilityError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "spec", [conv(3, 5, 40, 7, pads=3), conv(3, 5, (12, 10), 3, pads=1)], ids=["line", "plane"]
)
@pytest.mark.parametrize("lowering", [Direct(), FFT])
def test_a_layer_with_channels_last_is_the_same_layer(spec, lowering):
    """As it is timed in an engine whose values lie that way; the transposes are not in the engine's time."""
    lowering = lowering.variants(spec)[0] if lowering is FFT else lowering
    weights = random_weights(spec)
    first = OnnxRuntime(serialized(single_layer_model(lowering, spec, *weights)), threads=1)
    model = serialized(single_layer_model(lowering, spec, *weights, channels_last=True))
    last = ChannelsLast(OnnxRuntime(model, threads=1))
    assert last.inputs[0].shape[1:] == (*spec.spatial, 3) and last.outputs[0].shape[1:] == (
        *spec.out_spatial,
        5,
    )
    x = np.random.default_rng(0).standard_normal((2, 3, *spec.spatial)).astype("f4")
    expected, got = first.run({"x": x})["y"], last.run({"x": x})["y"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    spent = last.processor_nanoseconds()
    last.run({"x": x})
    assert last.inside_nanoseconds > 0 and last.processor_nanoseconds() > spent > 0
