"""Parity: does the compiled model agree with the reference?"""

from __future__ import annotations

import math

import numpy as np

from dashdeploy.artifacts.bundle import DIRECT_NAME, Bundle
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import GateError, InputError
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.verify.accuracy import accuracy
from dashdeploy.export.verify.batches import run_on_all
from dashdeploy.export.verify.expectation import Expectation, Feeds
from dashdeploy.export.verify.parity_report import NOT_JUDGED, EngineParity, Parity
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.runtimes.example_inputs import ExampleInputs, Run
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "bf16": 4e-2, "int8": 0.5}
"""Largest difference as a share of the largest magnitude of the reference's channel, by precision.

Half precision keeps 11 bits, so that one rounding is up to 5e-4, and roundings add up over layers; bfloat16 keeps 8.
Eight bits change a single output by tens of percent without changing its class: what judges them is the accuracy.
"""

_RANDOM_BATCHES, _MOST_BYTES = (1, 3), 2**26
"""Of random inputs; the second one is smaller where its inputs would have more bytes."""

_TWO_STEPS_OF_INT8 = 2 / 127
"""A sum in another order may round to the next step of eight bits, there and in the layer behind."""


def expectation(
    source: Source, inputs: tuple[TensorSpec, ...], samples: Feeds, precision: str = "fp32"
) -> Expectation:
    """What a source says on random inputs of two batch sizes, and on real ones if any.

    Args:
        source: the reference.
        inputs: the compiled model's.
        samples: real inputs by name; may be empty.
        precision: the compiled model's.
    """
    sets = input_sets(source.reference, inputs, samples, precision, source.samples_name)
    return Expectation(source.reference, source.reference_name, inputs, sets, source.unoptimized)


def bundle_expectation(bundle: Bundle, precision: str = "fp32") -> Expectation:
    """What a bundle's all-direct model says on random inputs of two batch sizes, and on the bundle's sample if any.

    Args:
        bundle: the bundle.
        precision: of the models that are compared with it.
    """
    file = bundle.path / DIRECT_NAME
    run = OnnxRuntime(file).run
    # The direct model may leave open what was fixed when it was compiled.
    inputs = tuple(bundle.manifest.inputs)
    sets = input_sets(run, inputs, bundle.sample(), precision, samples_name="sample")
    return Expectation(run, DIRECT_NAME, inputs, sets, lambda: OnnxRuntime(file, optimized=False).run)


def source_tolerance(precision: str) -> float:
    """What parity allows a model whose source is in `precision` already, since it is compared with the same."""
    return _TWO_STEPS_OF_INT8 if precision == "int8" else TOLERANCE[precision]


def check_parity(
    runtime: Runtime,
    expected: Expectation,
    precision: str = "fp32",
    *,
    tolerance: float | None = None,
    targets: Array | None = None,
    max_accuracy_drop: float = 0.01,
) -> Parity:
    """Compare a model with its reference.

    Args:
        runtime: the compiled model.
        expected: what it must say.
        precision: the compiled model's.
        tolerance: the largest error allowed; None takes that of the precision.
        targets: what the task wants for each sample of the last set, if known; see `accuracy`.
        max_accuracy_drop: by how much the accuracy on them may be lower than the reference's.

    Raises:
        GateError: an output differs by more than is allowed, or the accuracy drops too far; the message names each.
        InputError: the reference is random.
    """
    parity, got = measure_parity(runtime, expected, precision, tolerance=tolerance)
    refuse_failed(parity)
    if targets is not None:
        first = next(iter(expected.outputs[-1]))
        theirs = np.asarray(expected.outputs[-1][first])
        share = accuracy(np.asarray(got[-1][first]), theirs, targets, max_accuracy_drop)
        parity = parity.model_copy(update={"accuracy": share})
        if share is not None and share.fails:
            raise GateError(
                f"in {precision} the {share.measure} on {share.samples} validation samples is {share.model:.4f}, "
                f"{expected.name} has {share.reference:.4f}: a drop of more than "
                f"`max_accuracy_drop={max_accuracy_drop}`; nothing was written; "
                "allow more, or choose another `precision`"
            )
    return parity


def measure_parity(
    runtime: Runtime, expected: Expectation, precision: str = "fp32", *, tolerance: float | None = None
) -> tuple[Parity, list[dict[str, Array]]]:
    """Compare a model with its reference and judge nothing; the outputs come along."""
    got = [run_on_all(runtime.run, runtime.inputs, feeds) for _, feeds in expected.sets]
    allowed = TOLERANCE[precision] if tolerance is None else tolerance
    parity = expected.compare(got, precision, allowed)
    engine = EngineParity(engine=runtime.describe(), error=parity.worst)
    return parity.model_copy(update={"engines": [engine]}), got


def refuse_failed(parity: Parity, mend: str | None = None) -> None:
    """Refuse a model that does not agree.

    Args:
        parity: how it does.
        mend: what helps, maybe nothing; None advises another precision where there is one.

    Raises:
        GateError: it does not agree; the message names each output.
    """
    if not parity.failed:
        return
    if mend is None and parity.precision != "fp32":
        mend = f"{parity.precision} does not hold this model; choose another `precision`"
    differences = "; ".join(
        f"{entry.output} ({entry.inputs}) differs by {entry.max_relative_error:.2e}"
        for entry in parity.failed
    )
    raise GateError(
        f"the compiled model does not agree with {parity.reference}: {differences}, tolerance "
        f"{parity.allowed_in_words}; nothing was written{f'; {mend}' if mend else ''}"
    )


def input_sets(
    run: Run,
    inputs: tuple[TensorSpec, ...],
    samples: Feeds,
    precision: str = "fp32",
    samples_name: str = "validation",
) -> list[tuple[str, Feeds]]:
    """Labelled inputs to compare on: random ones of two batch sizes, then the real ones if any.

    The second batch is left out where the model does not take it, as with a state of one sequence, and so are all
    random inputs where it runs on none of them and there are real ones. Dynamic axes that are not the batch have the
    least length that the model runs on, and twice that.

    A model in int8 is judged on real inputs alone: it was calibrated for those.

    Args:
        run: the model, or its reference.
        inputs: its inputs.
        samples: real inputs by name; may be empty.
        precision: the compiled model's.
        samples_name: what the real inputs are called.
    """
    generator = np.random.default_rng(0)
    judged = NOT_JUDGED if precision == "int8" and samples else ""
    _refuse_unknown_types(inputs)
    examples = ExampleInputs.of(run, inputs)
    sets: list[tuple[str, Feeds]] = []
    for number, batch in enumerate(_batches(examples)):
        chosen = examples
        if examples.length is not None and number > 0:
            longer = examples.with_length(2 * examples.length)
            chosen = longer if longer.runs(run, batch) else examples
        if (number > 0 or samples) and not chosen.runs(run, batch):
            continue
        length = "" if chosen.length is None else f", length {chosen.length}"
        sets.append((f"random, batch {batch}{length}{judged}", chosen.feeds(batch, generator)))
    if samples:
        axes = [(spec.name, axis) for spec in inputs if (axis := examples.batch_axis(spec)) is not None]
        counts = [samples[name].shape[axis] for name, axis in axes]
        sets.append((f"{samples_name}, batch {counts[0] if counts else 1}", samples))
    return sets


def _batches(examples: ExampleInputs) -> tuple[int, ...]:
    """A fixed batch admits one size only, and large inputs a smaller second one, or none."""
    fixed = examples.fixed_batch
    if fixed is not None:
        return (fixed,)
    sample = sum(
        math.prod(axis if isinstance(axis, int) else 1 for axis in spec.shape) * np.dtype(spec.dtype).itemsize
        for spec in examples.inputs
    )
    one, several = _RANDOM_BATCHES
    second = min(several, _MOST_BYTES // max(sample, 1))
    return (one, second) if second > one else (one,)


def _refuse_unknown_types(inputs: tuple[TensorSpec, ...]) -> None:
    for spec in inputs:
        try:
            np.dtype(spec.dtype)
        except TypeError as error:  # a type that NumPy does not have, such as strings or sequences
            raise InputError(
                f"input {spec.name} has the type {spec.dtype}, which parity cannot be checked on; "
                "export the part of the model behind it"
            ) from error
