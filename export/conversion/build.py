"""Builds, verifies and times the models of decisions, on the target."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, first_line
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.passes.sequence import lower
from dashdeploy.export.planning.network_rivals import network_rivals
from dashdeploy.export.planning.plan_refinement import without_layers
from dashdeploy.export.planning.planner import Decisions
from dashdeploy.export.targets.base import Target
from dashdeploy.export.verify.branches import Branch, branches
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import (
    check_parity,
    expectation,
    measure_parity,
    refuse_failed,
    source_tolerance,
)
from dashdeploy.export.verify.parity_repair import repair
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.export.verify.speed_gate import fastest_of, pass_speed_gate
from dashdeploy.progress import Progress
from dashdeploy.runtimes.base import Runtime
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_NEVER_RUN = (
    "{chosen} is left out: no known inputs run the branch of the If where it lies; give some with `samples`"
)

_TOO_LARGE = "{chosen} is left out: with it the model needs more than `memory` for the values in between"

_UNTRUE = "{chosen} is left out: in a body of control flow, the model's own shapes are not what runs there"


class Build:
    """Builds, verifies and times the models of decisions.

    Args:
        direct: the all-direct model.
        source: what it must agree with.
        target: where models run.
        progress: a function that gets a line for each step.
    """

    def __init__(self, direct: ir.Model, source: Source, target: Target, progress: Progress) -> None:
        self._direct, self._source, self._target, self._progress = direct, source, target, progress
        self._precision = source.precision if target.precision == "fp32" else target.precision
        self._expected: Expectation | None = None
        self._outputs: tuple[TensorSpec, ...] = ()
        self._branches: list[Branch] | None = None
        self._loaded: tuple[Decisions, Runtime] | None = None

    def checkable(self, decisions: Decisions) -> Decisions:
        """The decisions without the compiled layers in bodies that the source does not run on any known inputs.

        Their plan says which shapes it is for.
        """
        expected = self._expectation()
        shapes = {spec.name: list(spec.shape) for spec in expected.inputs}
        plan = decisions.plan.model_copy(update={"inputs": shapes, "lengths": expected.lengths})
        decisions = replace(decisions, plan=plan)
        unknown = {name for branch in self._ways() if branch.expected is None for name in branch.layers}
        unknown |= {layer.name for layer in decisions.plan.layers if unknown & set(layer.merges)}
        names = [name for name in decisions.lowerings if name in unknown]
        if not names:
            return decisions
        self._progress(f"{', '.join(names)}: no known inputs run there; direct, since nothing can be checked")
        return without_layers(decisions, names, _NEVER_RUN)

    def verified(self, decisions: Decisions) -> Compiled:
        """The model of the decisions, or of those with fewer compiled layers that parity admits.

        Raises:
            GateError: not even the all-direct model agrees with the reference.
        """
        self._progress("checking that the compiled model agrees with the reference")
        try:
            parity = self._parity(decisions)
        except MemoryError as error:
            if not decisions.lowerings:
                raise InputError(f"the model needs more than `memory` allows: {error}") from error
            self._progress("compiled, the model needs more memory than `memory` allows: direct")
            return self.verified(without_layers(decisions, list(decisions.lowerings), _TOO_LARGE))
        except (
            Exception
        ) as error:  # every engine raises classes of its own, and a shape that differs is a GateError
            inner = [name for name in decisions.lowerings if name in self._inner(decisions)]
            if not inner or isinstance(error, InputError):
                raise
            # Exporters write shapes of one run into bodies of loops, and engines ignore them.
            self._progress(f"convolutions in bodies stay direct: compiled, {first_line(error)}")
            return self.verified(without_layers(decisions, inner, _UNTRUE))
        if parity.failed and decisions.plan.lowering != "auto":
            refuse_failed(parity, self._mend(decisions))
        if parity.failed:
            decisions, parity = repair(decisions, parity, self._parity, self._progress)
            refuse_failed(parity, self._mend(decisions))
        samples, targets = self._source.samples, self._source.targets
        if samples and targets is not None:
            expected, runtime = self._expectation(), self._load(decisions)
            tolerance = source_tolerance(self._precision)
            parity = check_parity(runtime, expected, self._precision, tolerance=tolerance, targets=targets)
        return Compiled(self._lower(decisions), decisions, parity)

    def fastest(self, compiled: Compiled) -> Compiled:
        """The network's fastest plan of those that its layers' costs cannot tell apart, verified.

        It is `compiled` unless another one is certainly faster as a whole.
        """
        rivals = network_rivals(compiled.decisions, self._target.estimate)
        if not rivals:
            return compiled
        self._progress(f"timing the whole model with {len(rivals) + 1} plans")
        models = {name: self._runtime(decisions) for name, decisions in rivals.items()}
        name = fastest_of(self._load(compiled.decisions), models, self._source.samples, self._target.clock())
        del models
        if name is None:
            return compiled
        other = self.verified(rivals[name])
        return other if other.decisions.lowerings == rivals[name].lowerings else compiled

    def raced(self, compiled: Compiled) -> Compiled:
        """Race the compiled model against all-direct; where fewer layers ship, their model is verified again."""
        runtime = self._load(compiled.decisions)
        shipped = pass_speed_gate(
            compiled.decisions,
            self._runtime(Decisions(compiled.decisions.plan, {})),
            runtime,
            build=self._load,
            samples=self._source.samples,
            clock=self._target.clock(),
            progress=self._progress,
        )
        if shipped.lowerings == compiled.decisions.lowerings:
            return replace(compiled, decisions=shipped)
        again = self.verified(shipped)
        repaired = again.decisions.lowerings and again.decisions.lowerings != shipped.lowerings
        return self.raced(again) if repaired else again

    def _inner(self, decisions: Decisions) -> set[str]:
        """The layers in bodies of control flow."""
        main = self._direct.graph
        names = {each.name for each in find_convolutions(self._direct) if each.node.graph is not main}
        return names | {layer.name for layer in decisions.plan.layers if names & set(layer.merges)}

    def _mend(self, decisions: Decisions) -> str:
        """What helps a model that fails, tried where that is not certain; empty if nothing does."""
        if decisions.lowerings and not self._parity(Decisions(decisions.plan, {})).failed:
            return "`lowering=auto` leaves out the layers that contribute most"
        if self._target.name is not TargetName.ORT_CPU:
            return "the engine differs even with every convolution direct: choose another `target`"
        return ""

    def _lower(self, decisions: Decisions) -> ir.Model:
        """The all-direct model itself where no layer is compiled."""
        if not decisions.lowerings:
            return self._direct
        return lower(
            self._direct,
            decisions.lowerings,
            decisions.fusion_groups,
            fold_taps=not self._target.folds_constants,
            relu_as_maximum=self._target.slow_at_relu,
        )

    def _load(self, decisions: Decisions) -> Runtime:
        """The model of some decisions on the target; the last one is kept."""
        if self._loaded is None or self._loaded[0].lowerings != decisions.lowerings:
            self._loaded = decisions, self._runtime(decisions)
        return self._loaded[1]

    def _runtime(self, decisions: Decisions) -> Runtime:
        """The model of some decisions on the target: in ONNX's format, or as a torch module where it takes those."""
        module = self._source.module
        if module is None or not self._target.runs_modules:
            return self._target.load(serialized(self._lower(decisions)))
        from dashdeploy.export.torch.model import lower_module

        specs = {layer.name: layer.spec for layer in decisions.plan.layers}
        lowered = lower_module(module, decisions.lowerings, specs).module
        return self._target.load_module(lowered, self._expectation().inputs, self._outputs)

    def _expectation(self) -> Expectation:
        if self._expected is None:
            runtime = OnnxRuntime(serialized(self._direct))
            self._outputs = runtime.outputs
            self._expected = expectation(self._source, runtime.inputs, self._source.samples)
        return self._expected

    def _ways(self) -> list[Branch]:
        expected = self._expectation()
        if self._branches is None:
            self._branches = branches(self._direct, self._source, expected)
        return self._branches

    def _parity(self, decisions: Decisions) -> Parity:
        precision = self._precision
        tolerance = source_tolerance(precision)
        parity = measure_parity(self._load(decisions), self._expectation(), precision, tolerance=tolerance)[0]
        model = self._lower(decisions) if self._ways() else self._direct
        more = [
            entry
            for branch in self._ways()
            for entry in branch.compare(model, self._target.load, precision, tolerance)
        ]
        return parity.model_copy(update={"outputs": [*parity.outputs, *more]}) if more else parity
