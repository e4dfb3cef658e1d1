"""Chooses a lowering for every convolution: filter, cost, choose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.convolutions import Convolution
from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.planning.fusion_groups import FusionGroup, fusion_groups
from dashdeploy.export.planning.plan import Candidate, LayerPlan, Plan
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.progress import Progress, silent

WORTHWHILE = 1.03
"""How many times as fast as direct a candidate must measure; less is within the noise of a measurement."""

PLAIN_VARIANTS = 2
"""Variants of a lowering with plain products, where other forms are tried as well."""

SECONDS_PER_CANDIDATE = 0.15


@dataclass(frozen=True)
class Decisions:
    """What was decided.

    Attributes:
        plan: for people.
        lowerings: by layer; direct layers are left out.
        fusion_groups: names of the groups of convolutions that become one layer each.
    """

    plan: Plan
    lowerings: Mapping[str, Lowering]
    fusion_groups: frozenset[str] = frozenset()


def choose_lowerings(
    convolutions: Sequence[Convolution],
    settings: ExportSettings,
    target: Target,
    cache: TuningCache,
    progress: Progress = silent,
) -> Decisions:
    """Plan every convolution of a model.

    Args:
        convolutions: as `find_convolutions` returns them.
        settings: the user's wishes.
        target: where costs are measured.
        cache: costs known from earlier; new ones are added.
        progress: told of each measurement before it starts.
    """
    planner = Planner(settings, target, cache, progress)
    layers: list[LayerPlan] = []
    lowerings: dict[str, Lowering] = {}
    for number, convolution in enumerate(convolutions, start=1):
        if convolution.spec is None:
            layers.append(_stays_direct(convolution.name, None, str(convolution.obstacle), []))
            continue
        place = f"{convolution.name} ({number} of {len(convolutions)})"
        spec = convolution.spec.model_copy(update={"batch": settings.batch})
        layer, lowering = planner.plan_layer(convolution.name, spec, place)
        layers.append(layer)
        if not isinstance(lowering, Direct):
            lowerings[convolution.name] = lowering
    fused: set[str] = set()
    if settings.lowering == "auto" and target.fuses_groups:
        for group in fusion_groups(convolutions):
            joint = planner.plan_group(group, lowerings)
            if joint is None:
                continue
            layer, lowerings[group.name] = joint
            fused.add(group.name)
            layers = _with_fused(layers, layer)
            for name in layer.merges:
                lowerings.pop(name, None)
    plan = Plan(
        target=str(settings.target),
        device=target.describe(),
        threads=settings.threads,
        tune=settings.tune,
        lowering=settings.lowering,
        layers=layers,
        engine_precision=target.precision,
        memory=settings.memory,
    )
    return Decisions(plan, lowerings, frozenset(fused))


def _with_fused(layers: list[LayerPlan], joint: LayerPlan) -> list[LayerPlan]:
    """The layers with those of `joint` marked as merged, and `joint` behind the last of them."""
    marked = [
        layer.model_copy(update={"chosen": "merged", "reason": f"part of {joint.name}"})
        if layer.name in joint.merges
        else layer
        for layer in layers
    ]
    last = max(index for index, layer in enumerate(marked) if layer.name in joint.merges)
    return [*marked[: last + 1], joint, *marked[last + 1 :]]


@dataclass(frozen=True)
class Planner:
    """Plans one layer at a time.

    Args:
        settings: the user's wishes.
        target: where costs are measured.
        cache: costs known from earlier; new ones are added.
        progress: told of each measurement before it starts.
    """

    settings: ExportSettings
    target: Target
    cache: TuningCache
    progress: Progress = silent

    def plan_layer(self, name: str, spec: ConvSpec, place: str) -> tuple[LayerPlan, Lowering]:
        """Choose the lowering of one convolution.

        Args:
            name: the layer's name.
            spec: the convolution.
            place: what progress calls it.
        """
        direct, forced = Direct(), self.settings.lowering == FFT.name
        candidates, contenders = self._filter(spec)
        if self.settings.lowering == "direct":
            return _stays_direct(name, spec, "`lowering=direct`", candidates), direct
        if len(contenders) == 1:
            return _stays_direct(name, spec, "no other lowering is worth measuring", candidates), direct

        costs = self._costs(spec, contenders, place)
        for candidate in candidates:
            if candidate.lowering not in costs or candidate.refused is not None:
                continue
            seconds, error = costs[candidate.lowering]
            candidate.cost_ms = round(seconds * 1e3, 6)
            candidate.error = error if self.settings.tune == "measure" and np.isfinite(error) else None
            if np.isinf(seconds):
                candidate.cost_ms, candidate.refused = (
                    None,
                    "needs more than `memory` for the values in between",
                )
            elif not error <= self.target.tolerance:  # a NaN is not within it either
                candidate.refused = f"differs from direct by {error:.1e} of the largest output"
        allowed = {candidate.lowering for candidate in candidates if candidate.refused is None}
        rivals = [
            lowering
            for lowering in contenders
            if lowering.label in allowed
            and (isinstance(lowering, FFT) if forced else not isinstance(lowering, Direct))
        ]
        if not rivals:
            return _stays_direct(name, spec, "no other candidate is accurate enough", candidates), direct
        best = min(rivals, key=lambda lowering: costs[lowering.label][0])
        speedup = costs[direct.label][0] / costs[best.label][0]
        if forced:
            reason = f"`lowering=fft`; {speedup:.2f} times as fast as direct"
        elif speedup >= WORTHWHILE:
            reason = f"{speedup:.2f} times as fast as direct"
        else:
            reason = f"{best.label} is {speedup:.2f} times as fast as direct; it must reach {WORTHWHILE}"
            return _stays_direct(name, spec, reason, candidates), direct
        return LayerPlan(name=name, spec=spec, chosen=best.label, reason=reason, candidates=candidates), best

    def plan_group(
        self, group: FusionGroup, lowerings: Mapping[str, Lowering]
    ) -> tuple[LayerPlan, Lowering] | None:
        """Plan a fusion group as one layer; None where they are as fast apart, by their `lowerings`."""
        spec = group.spec.model_copy(update={"batch": self.settings.batch})
        layer, lowering = self.plan_layer(group.name, spec, group.name)
        if isinstance(lowering, Direct):
            return None
        names = [member.name for member in group.members]
        apart = [
            (lowerings.get(member.name, Direct()), member.spec.model_copy(update={"batch": spec.batch}))
            for member in group.members
            if member.spec is not None
        ]
        speedup = self._speedup((lowering, spec), apart, group.name)
        if speedup < WORTHWHILE:
            return None
        reason = f"one layer for {len(names)} that read the same tensor, {speedup:.2f} times as fast as apart"
        return layer.model_copy(update={"reason": reason, "merges": names}), lowering

    def _speedup(
        self, joint: tuple[Lowering, ConvSpec], apart: Sequence[tuple[Lowering, ConvSpec]], place: str
    ) -> float:
        """How many times as fast one layer is as several: timed in one run, since machines change between two."""
        if self.settings.tune == "estimate":
            return sum(self.target.estimate(*layer) for layer in apart) / self.target.estimate(*joint)
        signature, key = joint[1].signature, _key(joint[0])
        parts = "+".join(f"{_key(lowering)} of {spec.signature}" for lowering, spec in apart)
        one, several = f"{key} beside {parts}", f"{parts} beside {key}"
        known = self.cache.get(signature)
        if one not in known or several not in known:
            self.progress(f"measuring {place}: one layer beside {len(apart)}")
            times = self.target.time([joint, *apart], SECONDS_PER_CANDIDATE * (1 + len(apart)))
            costs = float(np.median(times[0])), float(np.median(np.sum(times[1:], axis=0)))
            self.cache.add(signature, {one: (costs[0], 0.0), several: (costs[1], 0.0)})
            return costs[1] / costs[0]
        return known[several][0] / known[one][0]

    def cost_of(self, layer: LayerPlan) -> float:
        """Milliseconds of the chosen candidate of a layer; direct is costed if that was not needed before."""
        known = {candidate.lowering: candidate.cost_ms for candidate in layer.candidates}
        cost = known.get(layer.chosen)
        if cost is not None:
            return cost
        assert layer.spec is not None
        direct = Direct()
        return self._costs(layer.spec, [direct], layer.name)[direct.label][0] * 1e3

    def _filter(self, spec: ConvSpec) -> tuple[list[Candidate], list[Lowering]]:
        """Every candidate with the reason against it, and those worth costing (direct first).

        A lowering that needs more arithmetic than direct is not costed, since none has the better memory
        traffic, unless the user insists on one.
        """
        forced = self.settings.lowering == FFT.name
        candidates: list[Candidate] = []
        contenders: list[Lowering] = []
        for kind in LOWERINGS:
            if kind in self.target.leaves_out:
                continue
            refusal = kind.refuses(spec)
            if refusal is not None:
                candidates.append(Candidate(lowering=kind.name, refused=refusal))
                continue
            for lowering in self._variants(kind, spec):
                needed = lowering.multiply_adds(spec)
                candidate = Candidate(lowering=lowering.label, multiply_adds=needed)
                candidates.append(candidate)
                if needed > spec.multiply_adds and not forced:
                    candidate.refused = (
                        f"needs {needed / spec.multiply_adds:.1f} times direct's multiply-adds"
                    )
                else:
                    contenders.append(lowering)
        return candidates, contenders

    def _variants(self, kind: type[Lowering], spec: ConvSpec) -> Sequence[Lowering]:
        """The variants of one kind with the least estimates, of each form of the products that there is."""

        def least(variants: Iterable[Lowering | None], count: int) -> list[Lowering]:
            known = [lowering for lowering in variants if lowering is not None]
            return sorted(known, key=lambda lowering: self.target.estimate(lowering, spec))[:count]

        every = kind.variants(spec)
        others: list[Lowering] = []
        if self.settings.lowering == "auto":
            for form in self.target.forms_for(spec):
                others += least(
                    (lowering.with_products(form, spec) for lowering in every), self.target.variants
                )
        return [*least(every, PLAIN_VARIANTS if others else self.target.variants), *others]

    def _costs(
        self, spec: ConvSpec, lowerings: Sequence[Lowering], place: str
    ) -> Mapping[str, tuple[float, float]]:
        """(seconds, error) by label, from the cache where it knows them all."""
        if self.settings.tune == "estimate":
            return {lowering.label: (self.target.estimate(lowering, spec), 0.0) for lowering in lowerings}
        known = self.cache.get(spec.signature)
        if all(_key(lowering) in known for lowering in lowerings):
            return {lowering.label: known[_key(lowering)] for lowering in lowerings}
        self.progress(f"measuring {place}: {spec}, {len(lowerings)} candidates")
        seconds = SECONDS_PER_CANDIDATE * len(lowerings)
        try:
            times, errors = self.target.measure(lowerings, spec, seconds)
        except MemoryError as error:
            raise InputError(
                f"{place} needs more memory than `memory` allows, even direct: {error}"
            ) from error
        measured = {
            lowering: (float(np.median(seconds)), error)
            for lowering, seconds, error in zip(lowerings, times, errors, strict=True)
        }
        finite = {_key(lowering): cost for lowering, cost in measured.items() if np.isfinite(cost[0])}
        self.cache.add(spec.signature, finite)
        return {lowering.label: cost for lowering, cost in measured.items()}


def _key(lowering: Lowering) -> str:
    """What the tuning cache calls a lowering."""
    return f"{lowering.label} r{lowering.revision}"


def _stays_direct(name: str, spec: ConvSpec | None, reason: str, candidates: list[Candidate]) -> LayerPlan:
    return LayerPlan(name=name, spec=spec, chosen=Direct().label, reason=reason, candidates=candidates)
