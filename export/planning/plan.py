"""The plan: per layer, the chosen lowering, what every candidate costs, and the reason. Read by people."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from dashdeploy.export.lowerings.conv_spec import ConvSpec


class Candidate(BaseModel):
    """One way to compute a layer.

    Attributes:
        lowering: the lowering with its parameters, such as ``fft(tile=48)``.
        multiply_adds: of one call; None if the lowering cannot compute the layer.
        cost_ms: milliseconds of one call on the target; None if it was not costed.
        error: largest difference from direct, as a share of the largest output; None if it was not measured.
        refused: why it cannot win; None if it can.
    """

    model_config = ConfigDict(extra="forbid")

    lowering: str
    multiply_adds: int | None = None
    cost_ms: float | None = None
    error: float | None = None
    refused: str | None = None


class LayerPlan(BaseModel):
    """What was decided for one convolution.

    Attributes:
        name: the layer's name, from its weight's.
        spec: the convolution; None if its sizes are not known.
        chosen: the lowering's label.
        reason: why, in words.
        candidates: everything that was considered.
        merges: the layers that this one replaces, which read the same tensor; they are planned as ``merged``.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    spec: ConvSpec | None
    chosen: str
    reason: str
    candidates: list[Candidate]
    merges: list[str] = Field(default_factory=list)


class SpeedGate(BaseModel):
    """The compiled model against the all-direct one, timed interleaved in one run, batch 1.

    Attributes:
        direct_ms: median latency of the all-direct model.
        compiled_ms: median latency of the compiled model.
        speedup: median of the per-round ratios direct / compiled.
        speedup_low: lower end of its 95 % interval.
        speedup_high: upper end.
        shipped: ``compiled``, or ``direct`` where the compiled model was not faster.
    """

    model_config = ConfigDict(extra="forbid")

    direct_ms: float
    compiled_ms: float
    speedup: float
    speedup_low: float
    speedup_high: float
    shipped: str


class EngineCost(BaseModel):
    """One engine of those that a plan was chosen from.

    Attributes:
        target: its name among the targets.
        device: engine, version, device and threads, in words; empty if it is out.
        ms: median latency of its own compiled model there, taking turns with the others; None if it is out.
        reason: why it was chosen, was not, or is out.
    """

    model_config = ConfigDict(extra="forbid")

    target: str
    device: str
    ms: float | None
    reason: str


class Plan(BaseModel):
    """The content of ``plan.json``.

    Attributes:
        target: the engine and device the costs are for, as `ExportSettings.target` names it.
        device: engine, version and device in words.
        threads: threads within one operator. The costs of candidates for ONNX Runtime and OpenVINO are those of one
            thread; the whole model is timed with all of them.
        tune: how costs were found.
        lowering: what the user asked for.
        layers: one entry per convolution, in graph order.
        speed: the speed gate's result; None if nothing was compiled or the gate was skipped.
        inputs: the shapes that it is for, by input; names stand for axes that stay dynamic.
        engine_precision: in what the engine computes the model: ``fp32``, or ``bf16`` where it is told to round.
        engines: what the target was chosen from, for ``target=auto``.
        lengths: that dynamic axes had where the model was checked, if they are not the batch: layers behind them are
            direct, whatever their length. Export with a fixed shape to have them planned.
        memory: bytes that a candidate could take at most, where the user gave them.
        batch_piece: samples in which ONNX Runtime is to be given a larger batch; None where a batch runs as a whole.
    """

    model_config = ConfigDict(extra="forbid")

    target: str
    device: str
    threads: int
    tune: str
    lowering: str
    layers: list[LayerPlan]
    speed: SpeedGate | None = None
    inputs: dict[str, list[int | str]] = Field(default_factory=dict)
    lengths: list[int] = Field(default_factory=list)
    engine_precision: str = "fp32"
    engines: list[EngineCost] = Field(default_factory=list)
    memory: int | None = None
    batch_piece: int | None = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Earlier versions refuse fields that they do not know, and most plans can do without the newest ones."""
        content: dict[str, Any] = serialized(self)
        defaults: dict[str, object] = {
            "engine_precision": "fp32",
            "engines": [],
            "memory": None,
            "batch_piece": None,
        }
        return {name: value for name, value in content.items() if value != defaults.get(name, ...)}

    @property
    def compiled_layers(self) -> list[str]:
        """Names of the layers that are not direct."""
        return [layer.name for layer in self.layers if layer.chosen != "direct"]


def all_direct(plan: Plan, speedup: float) -> Plan:
    """The plan after a lost race: every layer direct, with the reason and what was planned."""

    def direct(layer: LayerPlan) -> LayerPlan:
        if layer.chosen == "direct":
            return layer
        reason = f"the whole model with {layer.chosen} was only {speedup:.2f} times as fast as all-direct"
        return layer.model_copy(update={"chosen": "direct", "reason": reason})

    layers = [direct(layer) for layer in plan.layers if not layer.merges]
    return plan.model_copy(update={"layers": layers})
