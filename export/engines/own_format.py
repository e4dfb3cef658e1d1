"""Writes the file of an engine that does not run ONNX models as they are, checked as it lies there.

The file and its sidecar lie in a bundle's folder, which appears whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import MODEL_NAME
from dashdeploy.errors import GateError
from dashdeploy.export.engines.sidecar import SIDECAR_FORMAT
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import measure_parity
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.machine import cpu_model
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import OnnxEngine, Options, OwnFormat


class OwnFormatSidecar(BaseModel):
    """The content of ``model.mnn.json``, ``model.vmfb.json``, ``model.aoti.pt2.json`` and ``model.pte.json``.

    Attributes:
        format_version: this format's version.
        file: the file.
        sha256: of the file.
        model_sha256: of the ONNX model that it was converted from.
        engine: that runs it.
        version: of the engine and its converter.
        processor: of the machine that it was made on; the code of IREE and AOTInductor is for processors like that.
        precision: ``fp32``.
        batch: samples per call that it was compiled for; an engine that takes any batch has its figures for this one.
        parity: how the file, loaded again, agrees with the reference.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: int = SIDECAR_FORMAT
    file: str
    sha256: str
    model_sha256: str
    engine: EngineName
    version: str
    processor: str
    precision: str
    batch: int
    parity: Parity


def write_own_format(
    folder: Path,
    engine: OnnxEngine,
    own: OwnFormat,
    expected: Expectation,
    options: Options,
    *,
    progress: Progress = silent,
) -> None:
    """Convert the ONNX model in a bundle's folder for an engine, and write the file with its sidecar.

    Args:
        folder: of the bundle that is being written.
        engine: the engine.
        own: its format.
        expected: what the model must say.
        options: threads and batch.
        progress: a function that gets a line for each step.

    Raises:
        GateError: the file, loaded again, does not agree with the reference.
        InputError: the converter refuses the model.
    """
    progress(f"writing {own.file} for {engine.title} and checking it")
    file = folder / own.file
    file.write_bytes(own.convert((folder / MODEL_NAME).read_bytes(), options.batch))
    runtime = own.open(file, *interface((folder / MODEL_NAME).read_bytes()), options)
    parity, _ = measure_parity(runtime, expected)
    if parity.failed:
        raise GateError(
            f"{own.file} in {engine.title} differs from {parity.reference} by {parity.worst:.2e}, tolerance "
            f"{parity.allowed_in_words}; nothing was written; choose another `target`"
        )
    sidecar = OwnFormatSidecar(
        file=own.file,
        sha256=sha256_of(file),
        model_sha256=sha256_of(folder / MODEL_NAME),
        engine=engine.name,
        version=engine.version(),
        processor=cpu_model(),
        precision="fp32",
        batch=options.batch,
        parity=parity,
    )
    text = sidecar.model_dump_json(indent=2) + "\n"
    (folder / f"{own.file}.json").write_text(text, encoding="utf-8")
