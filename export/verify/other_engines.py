"""Checks the model that is about to be written in the engines that its bundle names.

An engine that loads a model may compute something else: OpenVINO does for some pools, for Softmax of old opsets and
for 16-bit quantization. So what one engine has agreed to says nothing of another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dashdeploy.errors import GateError
from dashdeploy.export.conversion.calibration import load_calibration
from dashdeploy.export.conversion.compiled import Compiled
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.frontend.source import Source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.export.verify.parity import expectation, measure_parity
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array


def check_in_engines(
    compiled: Compiled,
    source: Source,
    targets: Sequence[Target],
    settings: ExportSettings,
    progress: Progress = silent,
) -> Compiled:
    """Run the final model in further engines; its parity names those in which it was run.

    Args:
        compiled: the model, checked in one engine already.
        source: what it must agree with.
        targets: the engines.
        settings: the user's wishes; its calibration data stand in for samples in int8.
        progress: a function that gets a line for each step.

    Raises:
        GateError: it differs in one of them; the message names the engine.
        InputError: an engine refuses the model.
    """
    parity = compiled.parity
    for target in targets:
        runtime = target.load(serialized(compiled.model))
        progress(f"checking the model in {runtime.describe()}")
        samples: Mapping[str, Array] = source.samples
        if not samples and settings.precision == "int8" and settings.calibration is not None:
            samples = load_calibration(settings.calibration, runtime.inputs)
        expected = expectation(source, runtime.inputs, samples, parity.precision)
        found, _ = measure_parity(runtime, expected, parity.precision, tolerance=parity.tolerance)
        if found.failed:
            worst = max(found.failed, key=lambda entry: entry.max_relative_error)
            raise GateError(
                f"{target.name} computes something else: {worst.output} ({worst.inputs}) differs by "
                f"{worst.max_relative_error:.2e} from {parity.reference}, tolerance {found.allowed_in_words}; "
                "nothing was written; choose another `target` or another `precision`"
            )
        parity = parity.model_copy(update={"engines": [*parity.engines, *found.engines]})
    return replace(compiled, parity=parity)
