"""Single layers beside the rooflines, on the CPU."""

import pytest

from dashdeploy.bench.gpu_check import layer_rooflines, network_latency
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.targets.absent import Device


def test_a_layer_stands_beside_its_rooflines():
    peaks, row = layer_rooflines.rows("cpu", quick=True, seconds=60)
    assert peaks.figures["fp32, TFLOP/s"] > 1e-3
    assert peaks.figures["copy, GB/s"] > 0.1
    assert 0 < peaks.figures["launch, us"] < 1000
    assert "another device's" in peaks.reason
    assert row.passed
    names = {name.partition(",")[0] for name in row.figures if name.endswith("roofline ms")}
    assert {"direct", "fft"} <= names
    quickest = min(names, key=lambda name: row.figures[f"{name}, ms"])
    assert row.figures["quickest"].startswith(quickest)
    assert row.figures["direct in bf16, ms"] > 0


def test_the_roofline_is_arithmetic_or_traffic():
    (spec,) = layer_rooflines._specs("cpu", quick=True)
    # 15 taps of 8 x 8 pairs at 100 positions; input, output and weights once, of 4 bytes each.
    madds, moved = 100 * 15 * 8 * 8, 4 * (2 * 8 * 100 + 8 * 8 * 15)
    assert layer_rooflines._roof(Direct(), spec, Device("", 1e9, 1e30, "")) == pytest.approx(2 * madds / 1e9)
    assert layer_rooflines._roof(Direct(), spec, Device("", 1e30, 1e9, "")) == pytest.approx(moved / 1e9)


def test_layers_on_a_gpu_come_in_batches_up_to_256():
    specs = layer_rooflines._specs("cuda", quick=False)
    assert {spec.batch for spec in specs} == {1, 64, 256}
    assert {spec.rank for spec in specs} == {1, 2}
    assert all(spec.out_spatial == spec.spatial for spec in specs)


def test_what_is_left_when_the_time_is_over_is_said():
    rows = list(layer_rooflines.rows("cpu", quick=True, seconds=-1))
    assert rows[-1].reason == "left out: the section's time is over"


def test_plans_go_by_the_gpu_that_is_here(monkeypatch):
    monkeypatch.setattr(network_latency.torch.cuda, "is_available", lambda: True)
    for name, key in (("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA T4", "a100")):
        monkeypatch.setattr(network_latency.torch.cuda, "get_device_name", lambda name=name: name)
        assert network_latency.planned_for() == key
