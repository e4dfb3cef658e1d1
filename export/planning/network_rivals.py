"""Plans that a network is timed with beside the one of its layers' least costs.

A layer is measured alone: its tables lie in the caches, and its neighbors have no say in the layout. Within a
network neither holds. Where candidates are near each other, the network as a whole decides between the plan of the
least costs and three others:

    lean     of what costs little more, that which moves the fewest bytes, since other layers fill the caches
    plain    products as batched MatMul everywhere, whose rows need no other order in between
    counted  of what is faster than direct, that with the least estimate: on a busy machine, what is measured of one
             layer differs by more than candidates do
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.registry import lowering_of
from dashdeploy.export.lowerings.tiling import TiledLowering
from dashdeploy.export.planning.plan import LayerPlan
from dashdeploy.export.planning.plan_refinement import with_lowering, without_layers
from dashdeploy.export.planning.planner import WORTHWHILE, Decisions

_NEAR = 1.1
"""How many times the least cost a lean candidate may have."""

_REASON = "the whole network is faster with it than with {chosen}, whose cost alone is the least"


def network_rivals(
    decisions: Decisions, estimate: Callable[[Lowering, ConvSpec], float]
) -> Mapping[str, Decisions]:
    """The other plans by name, without those that are the same as another one.

    Args:
        decisions: by the least costs, as `choose_lowerings` makes them.
        estimate: seconds of a layer, by counting.
    """

    def counted(layer: LayerPlan, costs: Mapping[Lowering, float]) -> Lowering:
        spec = layer.spec
        assert spec is not None
        return min(costs, key=lambda lowering: estimate(lowering, spec))

    found: dict[str, Decisions] = {}
    for name, choose in (("lean", _lean), ("plain", _plain), ("counted", counted)):
        rival = decisions
        for layer in decisions.plan.layers:
            costs = dict(_worthwhile(layer)) if layer.name in decisions.lowerings else {}
            if not costs:
                continue
            other, reason = choose(layer, costs), _REASON.format(chosen=layer.chosen)
            if other is None:
                rival = without_layers(rival, [layer.name], reason)
            elif other.label != layer.chosen:
                rival = with_lowering(rival, layer.name, other, reason)
        if all(rival.lowerings != known.lowerings for known in (decisions, *found.values())):
            found[name] = rival
    return found


def _lean(layer: LayerPlan, costs: Mapping[Lowering, float]) -> Lowering:
    spec = layer.spec
    assert spec is not None
    near = [lowering for lowering, cost in costs.items() if cost <= _NEAR * min(costs.values())]
    return min(near, key=lambda lowering: lowering.bytes_moved(spec))


def _plain(layer: LayerPlan, costs: Mapping[Lowering, float]) -> Lowering | None:  # noqa: ARG001
    """The fastest one with its products as a batched MatMul; None where direct is as fast."""
    plain = [
        lowering for lowering in costs if not (isinstance(lowering, TiledLowering) and lowering.product_form)
    ]
    return min(plain, key=lambda lowering: costs[lowering], default=None)


def _worthwhile(layer: LayerPlan) -> Iterator[tuple[Lowering, float]]:
    """The candidates that are faster than direct, with their costs; the chosen one is among them."""
    costs = {each.lowering: each.cost_ms for each in layer.candidates if each.refused is None}
    direct = costs.get("direct")
    assert layer.spec is not None
    for label, cost in costs.items():
        faster = cost is not None and direct is not None and cost * WORTHWHILE <= direct
        lowering = (
            lowering_of(layer.spec, label)
            if label != "direct" and (faster or label == layer.chosen)
            else None
        )
        if lowering is not None and cost is not None:
            yield lowering, cost
