"""A plan that parity does not admit loses the layers that contribute most to its error, and no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from dashdeploy.errors import GateError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import load_source
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.export.pipeline import export
from dashdeploy.export.planning.planner import choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.cpu import OrtCpuTarget
from dashdeploy.export.verify.parity import expectation, measure_parity
from dashdeploy.export.verify.parity_repair import repair
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

# Of what `sharp` gives only the smallest values are kept, beside which the error of a long FFT tile is large: it goes
# by the largest value in the tile.
TEXT = """g (float[b,16,400] x) => (float[b,16,400] y, float[b,16,400] z) {
    y = Conv<pads = [7,7]>(x, plain)  s = Conv<pads = [7,7]>(x, sharp)  z = Clip(s, low, high) }"""


@pytest.fixture
def path(tmp_path, onnx_model) -> Path:
    low, high = np.float32(-0.003), np.float32(0.003)
    model = onnx_model(TEXT, plain=(16, 16, 15), sharp=(16, 16, 15), low=low, high=high)
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.fixture
def planned(path):
    """(decisions, measure) with both layers compiled."""
    source = load_source(path, {})
    direct, target = prepare(source.model), OrtCpuTarget(1)
    settings = ExportSettings(lowering="fft", tune="estimate")
    decisions = choose_lowerings(find_convolutions(direct), settings, target, TuningCache(target.describe()))
    assert set(decisions.lowerings) == {"plain", "sharp"}
    expected = expectation(source, OnnxRuntime(path).inputs, {})

    def measure(some):
        model = lower(direct, some.lowerings) if some.lowerings else direct
        return measure_parity(OnnxRuntime(serialized(model), threads=1), expected)[0]

    return decisions, measure


def test_the_layer_that_contributes_most_goes_back_to_direct(planned):
    decisions, measure = planned
    before = measure(decisions)
    assert [entry.output for entry in before.failed] == ["z", "z"]
    said = []
    repaired, parity = repair(decisions, before, measure, said.append)
    assert not parity.failed
    assert set(repaired.lowerings) == {"plain"}
    plain, sharp = repaired.plan.layers
    assert plain.chosen.startswith("fft") and sharp.chosen == "direct"
    assert sharp.reason.startswith("fft") and "parity" in sharp.reason
    assert said[-1] == "parity holds with sharp direct"
    assert not [line for line in said if line.startswith("warning")]  # rounding is not a fault


def test_a_wrong_lowering_is_left_out_and_not_in_silence(planned):
    class Wrong(FFT):
        def write(self, writer, spec, x, weight, bias):
            return super().write(writer, spec, x, np.float32(1.25) * weight, bias)

    decisions, measure = planned
    wrong = replace(
        decisions, lowerings={**decisions.lowerings, "plain": Wrong(decisions.lowerings["plain"].tile)}
    )
    said = []
    repaired, parity = repair(wrong, measure(wrong), measure, said.append)
    assert not parity.failed and not repaired.lowerings
    (warning,) = (line for line in said if line.startswith("warning"))
    assert "plain alone" in warning and "2.5e-01" in warning and "report" in warning
    assert repaired.plan.layers[0].reason.endswith("contributed most: 2.5e-01 alone")


def test_a_more_exact_candidate_is_taken_where_one_is_fast_enough(planned):
    decisions, measure = planned
    exact = ToomCook((18,))
    layer = next(layer for layer in decisions.plan.layers if layer.name == "sharp")
    chosen = decisions.lowerings["sharp"]
    for candidate in layer.candidates:
        candidate.cost_ms = {"direct": 2.0, chosen.label: 0.5, exact.label: 1.0}.get(candidate.lowering)
        candidate.error = {chosen.label: 5e-6, exact.label: 1e-6}.get(candidate.lowering)
    if all(candidate.lowering != exact.label for candidate in layer.candidates):
        layer.candidates.append(
            layer.candidates[0].model_copy(
                update={"lowering": exact.label, "cost_ms": 1.0, "error": 1e-6, "refused": None}
            )
        )
    before = measure(decisions)

    def judged(some):
        """As measured, but with the error of the more exact candidate taken for small enough."""
        parity = measure(some)
        return measure(replace(some, lowerings={})) if some.lowerings.get("sharp") == exact else parity

    repaired, parity = repair(decisions, before, judged)
    assert not parity.failed
    assert repaired.lowerings["sharp"] == exact
    assert next(layer for layer in repaired.plan.layers if layer.name == "sharp").chosen == exact.label


def test_what_no_layer_explains_is_not_repaired(planned):
    decisions, measure = planned
    before = measure(decisions)
    asked = []

    def fails(some):
        asked.append(set(some.lowerings))
        return before

    nothing, parity = repair(decisions, before, fails)
    assert parity.failed and not nothing.lowerings
    assert asked == [set()]  # no search without hope


def test_a_forced_lowering_is_refused_with_what_helps(tmp_path, path):
    forced = ExportSettings(lowering="fft", tune="estimate")
    with pytest.raises(GateError, match="`lowering=auto` leaves out the layers that contribute most"):
        export(path, tmp_path / "out", forced)
    assert not (tmp_path / "out").exists()
