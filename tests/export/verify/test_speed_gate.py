"""The speed gate's verdict and its figures; how fast anything is, is not asked here."""

import time

import pytest

from dashdeploy.export.planning.plan import SpeedGate
from dashdeploy.export.verify.speed_gate import race
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
