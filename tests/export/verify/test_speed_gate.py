"""The speed gate's verdict and its figures; how fast anything is, is not asked here."""

import time

import pytest

from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.planning.plan import Candidate, LayerPlan, Plan, SpeedGate
from dashdeploy.export.planning.planner import Decisions
from dashdeploy.export.verify.speed_gate import fastest_of, pass_speed_gate, race
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


class Slowed:
    """A runtime that takes its time."""

    def __init__(self, runtime, seconds):
        self.inputs, self.outputs = runtime.inputs, runtime.outputs
        self._runtime, self._seconds = runtime, seconds

    def run(self, feeds):
        time.sleep(self._seconds)
        return self._runtime.run(feeds)


@pytest.fixture
def runtime(onnx_model):
    text = """g (float[b,4,40] x, int64[b,3] i) => (float[b,6,40] y, int64[b,3] j) {
        y = Conv<pads = [4,4]>(x, w)  j = Neg(i) }"""
    return OnnxRuntime(onnx_model(text, w=(6, 4, 9)).SerializeToString(), threads=1)


def test_what_is_slower_is_not_shipped(runtime):
    gate = race(runtime, Slowed(runtime, 5e-3))
    assert gate.shipped == "direct"
    assert 0 < gate.speedup_low <= gate.speedup <= gate.speedup_high < 1
    assert 0 < gate.direct_ms < gate.compiled_ms
    assert gate.compiled_ms >= 5


def test_what_is_faster_is_shipped(runtime):
    gate = race(Slowed(runtime, 5e-3), runtime)
    assert gate.shipped == "compiled"
    assert 1 < gate.speedup_low <= gate.speedup <= gate.speedup_high
    assert gate.direct_ms >= 5
    assert SpeedGate.model_validate_json(gate.model_dump_json()) == gate


def test_another_plan_has_to_be_certainly_faster(runtime):
    slow, slower = Slowed(runtime, 4e-3), Slowed(runtime, 8e-3)
    assert fastest_of(slower, {"a": slow, "b": runtime}) == "b"
    assert fastest_of(runtime, {"a": slow, "b": slower}) is None
    assert fastest_of(slow, {"same": Slowed(runtime, 4e-3 - 1e-5)}) is None


LAYERS = {"little": 1.0, "much": 5.0}
"""Milliseconds that each layer promises to save."""


@pytest.fixture
def decisions():
    layers = [
        LayerPlan(
            name=name,
            spec=None,
            chosen="fft(tile=16)",
            reason="faster",
            candidates=[
                Candidate(lowering="direct", cost_ms=10),
                Candidate(lowering="fft(tile=16)", cost_ms=10 - saving),
            ],
        )
        for name, saving in LAYERS.items()
    ]
    plan = Plan(target="ort-cpu", device="d", threads=1, tune="measure", lowering="auto", layers=layers)
    return Decisions(plan, dict.fromkeys(LAYERS, FFT((16,))))


def test_a_winner_ships_as_it_is(runtime, decisions):
    said = []
    shipped = pass_speed_gate(decisions, Slowed(runtime, 5e-3), runtime, progress=said.append)
    assert shipped.lowerings == decisions.lowerings
    assert shipped.plan.speed.shipped == "compiled"
    assert shipped.plan.layers == decisions.plan.layers
    assert said == ["timing the compiled model against the all-direct one"]


def test_a_loser_is_refined_until_it_wins(runtime, decisions):
    said, built = [], []

    def build(fewer):
        built.append(set(fewer.lowerings))
        return runtime

    direct = Slowed(runtime, 2e-3)
    shipped = pass_speed_gate(decisions, direct, Slowed(runtime, 8e-3), build=build, progress=said.append)
    assert built == [{"much"}]
    assert set(shipped.lowerings) == {"much"}
    assert shipped.plan.speed.shipped == "compiled"
    assert shipped.plan.compiled_layers == ["much"]
    assert said[1].endswith("times as fast: trying fewer compiled layers")
    assert said[2].startswith("with much alone the model is")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_never_wins_ships_direct(runtime, decisions, precision):
    """In int8 all of it ships or none."""
    said, slow = [], Slowed(runtime, 5e-3)
    build = (lambda _fewer: slow) if precision == "fp32" else None
    shipped = pass_speed_gate(
        decisions, runtime, slow, build=build, precision=precision, progress=said.append
    )
    assert (shipped.lowerings, shipped.plan.compiled_layers) == ({}, [])
    assert shipped.plan.speed.shipped == "direct"
    assert all("was only" in layer.reason for layer in shipped.plan.layers)
    if precision == "fp32":
        assert said[-1] == "no part of the plan makes the whole model faster: shipping all-direct"
    else:
        assert said[0].endswith(", both in int8")
        assert said[1].startswith("in int8 the compiled model is only")
