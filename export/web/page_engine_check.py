"""Checks the models of a site in the engine that the page has, in Node: what they say, and how long they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dashdeploy.artifacts.bundle import PARITY_NAME, Bundle
from dashdeploy.errors import GateError, InputError
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import TOLERANCE, bundle_expectation, measure_parity
from dashdeploy.export.verify.parity_report import NOT_JUDGED, Parity
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.ort_web.runtime import OrtWeb

_WARM_UP, _ROUNDS = 2, 7


@dataclass(frozen=True)
class Found:
    """What a model did in the page's engine.

    Attributes:
        error: the largest relative error by output channel that parity judges.
        ms: median of the runs of one batch.
    """

    error: float
    ms: float


def check_in_node(bundle: Bundle, files: Mapping[str, Path]) -> tuple[str, dict[str, Found]]:
    """Compare models with the bundle's all-direct one in ONNX Runtime, and time them by turns.

    Args:
        bundle: the bundle that they come from.
        files: the models by name.

    Returns:
        The engine in words, and what was found by name.

    Raises:
        GateError: a model says something else than the reference.
        InputError: the engine refuses a model.
    """
    expected = bundle_expectation(bundle, bundle.manifest.precision)
    parity = Parity.model_validate(bundle.read_json(PARITY_NAME))
    engines = {name: OrtWeb(path, threads=1) for name, path in files.items()}
    errors = {name: _error(name, engine, expected, parity) for name, engine in engines.items()}
    times = _times(engines, _one_batch(expected))
    described = next(iter(engines.values())).describe()
    return described, {name: Found(errors[name], times[name]) for name in engines}


def _error(name: str, engine: OrtWeb, expected: Expectation, at_export: Parity) -> float:
    tolerance = max(TOLERANCE[at_export.precision], at_export.tolerance)
    try:
        parity, _ = measure_parity(engine, expected, at_export.precision, tolerance=tolerance)
    except InputError as error:
        raise GateError(
            f"the {name} model does not run in {engine.describe()}: {error}; the site was not written"
        ) from error
    if parity.failed:
        worst = max(parity.failed, key=lambda entry: entry.max_relative_error)
        raise GateError(
            f"the {name} model does not agree with {expected.name} in {engine.describe()}: {worst.output} "
            f"({worst.inputs}) differs by {worst.max_relative_error:.2e}, tolerance {parity.allowed_in_words}; "
            "the site was not written"
        )
    return parity.worst


def _one_batch(expected: Expectation) -> Mapping[str, Array]:
    """The inputs that the models are timed on."""
    judged = [feeds for label, feeds in expected.sets if not label.endswith(NOT_JUDGED)]
    examples = ExampleInputs(expected.inputs)
    return examples.first((judged or [feeds for _, feeds in expected.sets])[0], examples.fixed_batch or 1)


def _times(engines: Mapping[str, OrtWeb], feeds: Mapping[str, Array]) -> dict[str, float]:
    """Medians in milliseconds, run by turns."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(_WARM_UP + _ROUNDS):
        for name, engine in engines.items():
            engine.run(feeds)
            if turn >= _WARM_UP:
                taken[name].append(engine.inside_nanoseconds * 1e-6)
    return {name: float(np.median(each)) for name, each in taken.items()}
