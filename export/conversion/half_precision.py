"""Half precision: as much of a compiled model as parity allows.

First the compiled layers come out of half precision, by parts (`COMPILED_IN_FP16`). Where that is not enough, what
scales the inputs does, whose numbers half precision may not hold as the user has them. Then what
holds weights (convolutions, matrix products, recurrences) follows, what contributes most to the error first; a
contribution is the error of the model in which that alone is in half precision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import onnx_ir as ir

from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.frontend.graph_values import constant
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.graph_writer import layer_of
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.passes.precision.convert_to_fp16 import COMPILED_IN_FP16
from dashdeploy.export.passes.sequence import simulate_fp16, to_fp16
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import check_parity, expectation, measure_parity, refuse_failed
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

_CONV_NODES = {Direct().label, Trimmed().label, "merged"}
"""Layers that are operators Conv, or part of another layer; all others are many operators."""

_WEIGHTY = ("Conv", "ConvTranspose", "GRU", "Gemm", "LSTM", "MatMul", "RNN")


def to_half_precision(
    compiled: Compiled, source: Source, settings: ExportSettings, progress: Progress = silent
) -> Compiled:
    """Convert a compiled float32 model.

    Args:
        compiled: in float32.
        source: what it must agree with.
        settings: the user's wishes.
        progress: a function that gets a line for each step.

    Raises:
        GateError: nothing that holds weights can be in half precision, or the accuracy drops too far.
        InputError: the model has control flow.
    """
    return _Halves(compiled, source, settings).convert(progress)


class _Halves:
    def __init__(self, compiled: Compiled, source: Source, settings: ExportSettings) -> None:
        self._compiled, self._source, self._settings = compiled, source, settings
        inputs = OnnxRuntime(serialized(compiled.model)).inputs
        self._expected: Expectation = expectation(source, inputs, source.samples, "fp16")

    def convert(self, progress: Progress) -> Compiled:
        written = any(layer.chosen not in _CONV_NODES for layer in self._compiled.decisions.plan.layers)
        parts = COMPILED_IN_FP16 if written else COMPILED_IN_FP16[:1]
        first = None
        front, weighty = self._in_front(), self._weighty()
        for kept in ([], front) if front else ([],):
            for part in parts:
                parity = self._parity(part, kept)
                first = first or parity
                if parity.failed:
                    continue
                if kept:
                    progress("what is done to the inputs first stays in float32 for the sake of parity")
                return self._checked(part, kept, len(parts) > 1)
        assert first is not None
        if self._parity(parts[-1], [*front, *weighty]).failed or not weighty:
            refuse_failed(first)
        progress(
            f"in fp16 the model differs by {first.worst:.1e}: looking for the layers that contribute most"
        )
        alone = {
            name: self._parity(parts[-1], [*front, *(other for other in weighty if other != name)]).strain
            for name in weighty
        }
        for kept in _growing(sorted(weighty, key=lambda name: alone[name], reverse=True)):
            for part in parts:
                if not self._parity(part, [*front, *kept]).failed:
                    progress(f"in float32 for the sake of parity: {', '.join([*front, *kept])}")
                    return self._checked(part, [*front, *kept], len(parts) > 1)
        refuse_failed(first)
        raise AssertionError("the first parity failed")

    def _model(self, part: str, kept: Collection[str]) -> ir.Model:
        layers = self._compiled.decisions.plan.compiled_layers
        return to_fp16(self._compiled.model, layers, part, kept)

    def _parity(self, part: str, kept: Collection[str]) -> Parity:
        """As an engine computes it that rounds what every operator writes, the harder of the two."""
        rounded = self._runtime(simulate_fp16(self._model(part, kept)))
        return measure_parity(rounded, self._expected, "fp16")[0]

    def _checked(self, part: str, kept: Collection[str], several: bool) -> Compiled:
        """As ONNX Runtime computes it, and as an engine does that rounds what every operator writes."""
        half = self._model(part, kept)
        parity, rounded = (
            check_parity(
                self._runtime(model),
                self._expected,
                "fp16",
                targets=self._source.targets if self._source.samples else None,
                max_accuracy_drop=self._settings.max_accuracy_drop,
            )
            for model in (half, simulate_fp16(half))
        )
        entries = [
            entry.model_copy(update={"inputs": f"{entry.inputs}, every operator rounded"})
            for entry in rounded.outputs
        ]
        update = {
            "outputs": [*parity.outputs, *entries],
            "compiled_in_fp16": part if several else None,
            "kept_in_fp32": list(kept),
            "engines": parity.engines,
        }
        return Compiled(half, self._compiled.decisions, rounded.model_copy(update=update))

    def _in_front(self) -> list[str]:
        """What is computed of the inputs before anything that holds weights, by what each node writes first."""
        layers = self._compiled.decisions.plan.compiled_layers
        known = {id(value) for value in self._compiled.model.graph.inputs}
        front = []
        for node in self._compiled.model.graph:
            read = [value for value in node.inputs if value is not None and constant(value) is None]
            if node.op_type in _WEIGHTY or layer_of(str(node.name), layers) is not None or not read:
                continue
            if all(id(value) in known for value in read):
                known |= {id(value) for value in node.outputs}
                front.append(str(node.outputs[0].name))
        return front

    def _weighty(self) -> list[str]:
        """What holds weights and would be in half precision, by the name of what it writes."""
        layers = self._compiled.decisions.plan.compiled_layers
        return [
            str(node.outputs[0].name)
            for node in self._compiled.model.graph
            if node.op_type in _WEIGHTY
            and any(constant(value) is not None for value in node.inputs)
            and (node.op_type == "Conv" or layer_of(str(node.name), layers) is None)
        ]

    def _runtime(self, model: ir.Model) -> OnnxRuntime:
        return OnnxRuntime(serialized(model), threads=self._settings.threads)


def _growing(names: list[str]) -> Iterator[list[str]]:
    """The first name, the first two, and so on, half as many more each time; never all of them."""
    count = 1
    while count < len(names):
        yield names[:count]
        count += max(1, count // 2)
