"""Refining a plan: which layers go back to direct, in which order, and when it stops."""

import pytest

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.planning.plan import Candidate, LayerPlan, Plan, SpeedGate
from dashdeploy.export.planning.plan_refinement import MOST_RACES, refine, with_fewer_layers
from dashdeploy.export.planning.planner import Decisions

SPEC = ConvSpec(
    in_channels=4,
    out_channels=4,
    spatial=(64,),
    kernel=(9,),
    strides=(1,),
    dilations=(1,),
    pads_begin=(4,),
    pads_end=(4,),
)
CHOSEN = FFT((16,))


def layer(name, saving, merges=(), chosen=CHOSEN.label):
    costs = [
        Candidate(lowering="direct", cost_ms=10.0),
        Candidate(lowering=CHOSEN.label, cost_ms=10.0 - saving),
    ]
    return LayerPlan(
        name=name, spec=SPEC, chosen=chosen, reason="faster", candidates=costs, merges=list(merges)
    )


def decisions(*layers):
    plan = Plan(target="ort-cpu", device="d", threads=1, tune="measure", lowering="auto", layers=list(layers))
    chosen = {each.name: CHOSEN for each in layers if each.chosen == CHOSEN.label}
    return Decisions(plan, chosen, frozenset(each.name for each in layers if each.merges))


def gate(shipped):
    speedup = 1.2 if shipped == "compiled" else 0.9
    return SpeedGate(
        direct_ms=1,
        compiled_ms=1,
        speedup=speedup,
        speedup_low=speedup,
        speedup_high=speedup,
        shipped=shipped,
    )


def test_the_least_promising_layer_goes_first_and_one_stays():
    steps = list(with_fewer_layers(decisions(layer("much", 5), layer("little", 1), layer("some", 3))))
    assert [set(step.lowerings) for step in steps] == [{"much", "some"}, {"much"}]
    assert [each.chosen for each in steps[0].plan.layers] == [CHOSEN.label, "direct", CHOSEN.label]
    assert "did not make the whole model faster" in steps[0].plan.layers[1].reason


def test_many_layers_take_few_races():
    steps = list(with_fewer_layers(decisions(*(layer(f"l{i:02}", i) for i in range(40)))))
    assert len(steps) <= MOST_RACES
    assert set(steps[-1].lowerings) == {"l39"}


def test_a_merged_layer_falls_apart():
    parts = [layer("a", 2, chosen="merged"), layer("b", 2, chosen="merged")]
    (step,) = with_fewer_layers(decisions(*parts, layer("a+b", 1, merges=["a", "b"]), layer("c", 9)))
    assert [(each.name, each.chosen) for each in step.plan.layers] == [
        ("a", "direct"),
        ("b", "direct"),
        ("c", CHOSEN.label),
    ]
    assert step.fusion_groups == frozenset()


@pytest.mark.parametrize(("wins_with", "expected"), [({"b"}, {"b"}), (set(), None)])
def test_it_stops_at_the_first_that_is_faster(wins_with, expected):
    raced = []

    def race(fewer):
        raced.append(set(fewer.lowerings))
        return gate("compiled" if set(fewer.lowerings) == wins_with else "direct")

    found = refine(decisions(layer("a", 1), layer("b", 2)), race)
    assert raced == [{"b"}]
    assert (None if found is None else set(found[0].lowerings)) == expected


def test_a_single_layer_has_nothing_to_refine():
    assert list(with_fewer_layers(decisions(layer("only", 1)))) == []
