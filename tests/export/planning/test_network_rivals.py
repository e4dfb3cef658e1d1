"""The plans that a network is timed with beside the one of the least costs."""

from dataclasses import replace

import pytest

from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.registry import lowering_of
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.planning.network_rivals import network_rivals
from dashdeploy.export.planning.plan import Candidate, LayerPlan, Plan
from dashdeploy.export.planning.planner import Decisions
from tests.export.convolutions import conv

SPEC = conv(64, 64, 1000, 15, 1, 7)
SMALL, LARGE = FFT((48,), product_form="grouped"), FFT((96,), product_form="grouped")
assert SMALL.bytes_moved(SPEC) < LARGE.bytes_moved(SPEC)


def decisions(**layers):
    """Decisions of layers, each with its candidates' costs by lowering; the least one is chosen."""
    plans, lowerings = [], {}
    for name, costs in layers.items():
        chosen = min(costs, key=costs.get)
        plans.append(
            LayerPlan(
                name=name,
                spec=SPEC,
                chosen=getattr(chosen, "label", chosen),
                reason="it is the fastest",
                candidates=[
                    Candidate(lowering=getattr(each, "label", each), cost_ms=cost)
                    for each, cost in costs.items()
                ],
            )
        )
        if chosen != "direct":
            lowerings[name] = chosen
    return Decisions(
        Plan(target="ort-cpu", device="d", threads=1, tune="measure", lowering="auto", layers=plans),
        lowerings,
    )


def rivals_of(made, estimate=None):
    """Without another estimate it agrees with the costs, so that there is no plan by it."""
    costs = {
        (each.lowering, layer.spec): each.cost_ms for layer in made.plan.layers for each in layer.candidates
    }
    return network_rivals(made, estimate or (lambda lowering, spec: costs[lowering.label, spec] or 0.0))


def test_what_costs_little_more_and_moves_fewer_bytes_is_tried():
    near = {"direct": 9.0, LARGE: 2.0, SMALL: 2.1}
    far = {"direct": 9.0, LARGE: 2.0, SMALL: 2.3}
    rivals = rivals_of(decisions(near=near, far=far, other={"direct": 1.0, SMALL: 1.5}))
    assert rivals["lean"].lowerings == {"near": SMALL, "far": LARGE}
    assert [layer.chosen for layer in rivals["lean"].plan.layers] == [SMALL.label, LARGE.label, "direct"]
    assert LARGE.label in rivals["lean"].plan.layers[0].reason
    assert rivals["lean"].plan.layers[1].reason == "it is the fastest"


def test_what_is_counted_to_be_fastest_is_tried():
    counted = {LARGE: 1.0, SMALL: 2.0, ToomCook((20,)): 0.5}
    made = decisions(
        near={"direct": 9.0, LARGE: 3.0, SMALL: 2.0},
        slow={"direct": 3.0, LARGE: 2.0, ToomCook((20,)): 2.95},  # not worth while, whatever is counted
        lost={"direct": 1.0, LARGE: 2.0},
    )
    rivals = rivals_of(made, lambda lowering, _: counted[lowering])
    assert rivals["counted"].lowerings == {"near": LARGE, "slow": LARGE}
    assert SMALL.label in rivals["counted"].plan.layers[0].reason


@pytest.mark.parametrize("other", [LARGE, FFT((96,), product_form="taps first")])
def test_batched_products_everywhere_are_tried(other):
    plain = ToomCook((20,))
    quick = {"direct": 9.0, other: 2.0, plain: 4.0}
    slow = {"direct": 3.0, other: 2.0, plain: 2.95}  # not worth while
    rivals = rivals_of(decisions(quick=quick, slow=slow))
    assert set(rivals) == {"plain"}
    assert rivals["plain"].lowerings == {"quick": plain}
    assert [layer.chosen for layer in rivals["plain"].plan.layers] == [plain.label, "direct"]


def test_equal_plans_are_tried_once():
    assert rivals_of(decisions(a={"direct": 9.0, FFT((48,)): 2.0, FFT((96,)): 3.0})) == {}
    both = decisions(a={"direct": 9.0, LARGE: 2.0, ToomCook((32,)): 2.1})
    assert ToomCook((32,)).bytes_moved(SPEC) < LARGE.bytes_moved(SPEC)
    assert set(rivals_of(both)) == {"lean"}


def test_layers_without_costs_stay():
    unknown = decisions(a={"direct": 9.0, LARGE: 2.0})
    for candidate in unknown.plan.layers[0].candidates:
        candidate.cost_ms = None
    assert rivals_of(unknown) == {}


@pytest.mark.parametrize(
    "lowering",
    [
        SMALL,
        FFT((48,)),
        FFT((96,), product_form="taps first"),
        ToomCook((20,), product_form="grouped"),
        CooleyTukey.variants(SPEC)[5],
        replace(CooleyTukey.variants(SPEC)[-1], product_form="taps first"),
        Trimmed(),
    ],
)
def test_labels_lead_back_to_lowerings(lowering):
    spec = conv(64, 64, 5, 15, 1, 7) if isinstance(lowering, Trimmed) else SPEC
    assert lowering_of(spec, lowering.label).label == lowering.label
    assert lowering_of(spec, "fft(tile=7)") is None
