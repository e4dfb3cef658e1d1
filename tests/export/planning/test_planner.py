"""Plans: what is refused and why, what may win, and what is measured again."""

import dataclasses
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import pytest

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.planning import planner
from dashdeploy.export.planning.plan import Plan
from dashdeploy.export.planning.planner import WORTHWHILE, choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.cpu import OrtCpuTarget

MODEL = """g (float[b,16,300] x, float[b,4,5,5,5] z, float[b,2,n] u) =>
    (float[b,16,300] y, float[b,4,5,5,5] q, float[b,2,m] v) {
    h = Conv<pads = [18,18], dilations = [2]>(x, "long.weight")
    y = Conv<pads = [18,18], dilations = [2]>(h, "again.weight")
    q = Conv<pads = [1,1,1,1,1,1]>(z, "cube.weight")
    v = Conv(u, "dynamic.weight") }"""
WEIGHTS = {
    "long.weight": (16, 16, 19),
    "again.weight": (16, 16, 19),
    "cube.weight": (4, 4, 3, 3, 3),
    "dynamic.weight": (2, 2, 3),
}


@pytest.fixture
def decide(onnx_model, tmp_path):
    """Plans a model (the one above if no other is given) and returns the decisions and what was said."""

    def planned(model=None, **settings):
        prepared = prepare(ir.from_proto(model or onnx_model(MODEL, **WEIGHTS)))
        target = OrtCpuTarget(1)
        said = []
        decisions = choose_lowerings(
            find_convolutions(prepared),
            ExportSettings(**settings),
            target,
            TuningCache(target.describe(), tmp_path),
            said.append,
        )
        return decisions, said

    return planned


def test_what_cannot_be_is_recorded_with_its_reason(decide):
    decisions, _ = decide(lowering="fft", tune="estimate")
    long, again, cube, dynamic = decisions.plan.layers
    assert [layer.name for layer in decisions.plan.layers] == ["long", "again", "cube", "dynamic"]
    assert dynamic.spec is None
    assert dynamic.chosen == "direct"
    assert "`input_shapes=" in dynamic.reason
    (refused,) = [candidate for candidate in cube.candidates if candidate.lowering == "fft"]
    assert "3 spatial axes" in refused.refused
    assert refused.multiply_adds is refused.cost_ms is None
    assert cube.chosen == "direct"
    assert long.spec == again.spec
    assert set(decisions.lowerings) == {"long", "again"} == set(decisions.plan.compiled_layers)
    assert decisions.lowerings["long"].label == long.chosen
    assert long.reason.startswith("`lowering=fft`; ")
    for layer in (long, again):
        assert all(
            candidate.cost_ms > 0 and candidate.multiply_adds > 0
            for candidate in layer.candidates
            if candidate.refused is None
        )
    assert Plan.model_validate_json(decisions.plan.model_dump_json()) == decisions.plan


def test_products_as_a_grouped_convolution_are_candidates_where_the_engine_likes_them(decide, monkeypatch):
    def candidates(**settings):
        decisions, _ = decide(tune="estimate", **settings)
        return [candidate.lowering for candidate in decisions.plan.layers[0].candidates]

    assert not any("taps first" in label for label in candidates())  # 16 channels fill their block
    monkeypatch.setattr(OrtCpuTarget, "forms_for", Target.forms_for)
    for kind in ("toom-cook", "fft"):
        of_kind = [label for label in candidates() if label.startswith(kind)]
        forms = [label.partition(", ")[2] for label in of_kind]
        assert forms == [""] * 2 + ["grouped)"] * 4 + ["taps first)"] * 4
    assert not any("grouped" in label or "first" in label for label in candidates(lowering="fft"))
    monkeypatch.setattr(OrtCpuTarget, "product_forms", ())
    assert not any("grouped" in label or "first" in label for label in candidates())
    assert sum(label.startswith("fft") for label in candidates()) == OrtCpuTarget.variants


def test_what_is_never_the_fastest_in_an_engine_is_no_candidate_there(decide, monkeypatch):
    def kinds():
        decisions, _ = decide(tune="estimate", lowering="auto")
        return {each.lowering.partition("(")[0] for each in decisions.plan.layers[0].candidates}

    assert kinds() == {"direct", "trimmed", "toom-cook", "fft"}
    monkeypatch.setattr(OrtCpuTarget, "leaves_out", frozenset({FFT}))
    assert kinds() == {"direct", "trimmed", "toom-cook", "cooley-tukey"}


def test_direct_can_be_forced(decide):
    decisions, said = decide(lowering="direct")
    assert decisions.lowerings == {}
    assert {layer.chosen for layer in decisions.plan.layers} == {"direct"}
    assert decisions.plan.layers[0].reason == "`lowering=direct`"
    assert said == []


def test_an_estimate_runs_nothing_and_keeps_nothing(decide, tmp_path):
    decisions, said = decide(lowering="auto", tune="estimate")
    assert said == []
    assert list(tmp_path.iterdir()) == []
    target = OrtCpuTarget(1)
    layer = decisions.plan.layers[0]
    (direct,) = [candidate for candidate in layer.candidates if candidate.lowering == "direct"]
    assert direct.cost_ms == pytest.approx(1e3 * target.estimate(Direct(), layer.spec), rel=1e-3, abs=1e-6)


def test_equal_layers_are_measured_once_and_a_second_plan_measures_nothing(decide):
    first, said = decide(lowering="fft")
    assert len(said) == 1
    assert said[0].startswith("measuring long (1 of 4): 16 -> 16, k 19, d 2, n 300")
    second, said = decide(lowering="fft")
    assert said == []
    assert second.plan == first.plan
    costed = [c for c in second.plan.layers[1].candidates if c.refused is None]
    assert len(costed) >= 2


def test_costs_of_an_older_revision_are_measured_again(decide, monkeypatch):
    decide(lowering="fft")
    monkeypatch.setattr(FFT, "revision", FFT.revision + 1)
    _, said = decide(lowering="fft")
    assert len(said) == 1


def test_a_damaged_table_is_measured_again(decide, tmp_path, caplog):
    decide(lowering="fft")
    (table,) = tmp_path.glob("*.json")
    table.write_bytes(table.read_bytes()[:-40])
    _, said = decide(lowering="fft")
    assert "damaged" in caplog.text
    assert len(said) == 1


@pytest.mark.parametrize(("seconds", "wins"), [(1e-3 / (WORTHWHILE + 0.01), True), (1e-3 / 1.02, False)])
def test_a_candidate_must_be_worth_it(decide, tmp_path, onnx_model, seconds, wins):
    """Known costs decide: 1.04 times as fast wins, 1.02 is noise."""
    model = onnx_model(MODEL, **WEIGHTS)
    decisions, _ = decide(model)
    layer = decisions.plan.layers[0]
    labels = [c.lowering for c in layer.candidates if c.lowering != "direct" and c.cost_ms is not None]
    table = TuningCache(OrtCpuTarget(1).describe(), tmp_path)
    costs = dict.fromkeys(labels, (2e-3, 0.0)) | {"direct": (1e-3, 0.0), labels[-1]: (seconds, 1e-7)}
    revisions = {kind.name: kind.revision for kind in LOWERINGS}
    revised = {f"{label} r{revisions[label.partition('(')[0]]}": cost for label, cost in costs.items()}
    table.add(layer.spec.signature, revised)
    decisions, said = decide(model)
    assert said == []
    assert decisions.plan.layers[0].chosen == (labels[-1] if wins else "direct")
    assert ("long" in decisions.lowerings) is wins


@dataclasses.dataclass(frozen=True)
class TooSmall(Direct):
    """A direct convolution whose weights are wrong by `factor`, said to need no arithmetic."""

    name: ClassVar[str] = "wrong"
    factor: ClassVar[float] = 1 + 1e-4

    @classmethod
    def variants(cls, _spec):
        return [cls()]

    def multiply_adds(self, _spec):
        return 1

    def write(self, writer, spec, x, weight, bias):
        return super().write(writer, spec, x, (weight * np.float32(self.factor)), bias)


class NotANumber(TooSmall):
    name: ClassVar[str] = "nan"
    factor: ClassVar[float] = float("nan")


@pytest.mark.parametrize(
    ("wrong", "difference"),
    [(TooSmall, "differs from direct by 1.0e-04"), (NotANumber, "differs from direct by inf")],
)
def test_an_inaccurate_candidate_is_recorded_and_cannot_win(
    decide, monkeypatch, onnx_model, wrong, difference
):
    monkeypatch.setattr(planner, "LOWERINGS", (*LOWERINGS, wrong))
    model = onnx_model("g (float[b,16,300] x) => (float[b,16,m] y) { y = Conv(x, w) }", w=(16, 16, 19))
    for _ in range(2):  # measured, and from the table
        decisions, _ = decide(model, lowering="fft")
        (layer,) = decisions.plan.layers
        (candidate,) = [c for c in layer.candidates if c.lowering == wrong.name]
        assert candidate.refused is not None
        assert difference in candidate.refused
        assert candidate.cost_ms > 0
        assert layer.chosen.startswith("fft")
        assert isinstance(decisions.lowerings["w"], FFT)


@pytest.mark.parametrize(("each", "merges"), [(0.6e-3, True), (0.5e-3, False)])
def test_parallel_layers_become_one_where_that_is_quicker_in_one_run(
    decide, onnx_model, monkeypatch, each, merges
):
    """One layer of 1 ms beside two; what each was costed at alone, at other moments, plays no part."""

    def measure(_target, lowerings, _spec, _seconds):
        return [np.full(7, 2e-3 if isinstance(way, Direct) else 1e-3) for way in lowerings], [0.0] * len(
            lowerings
        )

    def time(_target, layers, _seconds):
        return [np.full(7, 1e-3), *(np.full(7, each) for _ in layers[1:])]

    monkeypatch.setattr(OrtCpuTarget, "measure", measure)
    monkeypatch.setattr(OrtCpuTarget, "time", time)
    model = onnx_model(
        """g (float[b,16,300] x) => (float[b,16,300] y) {
        p = Conv<pads = [9,9]>(x, "long.weight")  q = Conv<pads = [4,4]>(x, "short.weight")  y = Add(p, q) }""",
        **{"long.weight": (16, 16, 19), "short.weight": (16, 16, 9)},
    )
    decisions, said = decide(model)
    assert decisions.fusion_groups == ({"long+short"} if merges else set())
    assert said[-1] == "measuring long+short: one layer beside 2"
    again, said = decide(model)
    assert (again.fusion_groups, said) == (decisions.fusion_groups, [])


def test_layers_are_timed_together():
    spec = ConvSpec(
        in_channels=2, out_channels=3, spatial=(20,), kernel=(3,), strides=(1,), dilations=(1,),
        pads_begin=(1,), pads_end=(1,),
    )  # fmt: skip
    wide = spec.model_copy(update={"in_channels": 4})
    times = OrtCpuTarget(1).time([(FFT((8,)), spec), (Direct(), wide)], 0.01)
    assert len(times) == 2
    assert len(times[0]) == len(times[1]) >= 7
    assert min(times[0].min(), times[1].min()) > 0
