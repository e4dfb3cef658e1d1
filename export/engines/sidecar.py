"""The JSON file beside an artifact, which says what it is: nothing of an engine can be read without a GPU."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.tensorrt_flavors import FLAVORS

SIDECAR_FORMAT = 1


class EngineSidecar(BaseModel):
    """The content of ``model.rtx.json`` and ``model.engine.json``.

    Attributes:
        format_version: this format's version.
        file: the engine's file.
        sha256: of the engine.
        model_sha256: of the ONNX model that it was built from.
        engine: ``tensorrt`` or ``tensorrt-rtx``.
        version: the package's version; an engine runs with this version alone.
        compute_capabilities: the GPUs that it was built for.
        precision: ``fp32``, ``fp16`` or ``int8``.
        tf32: whether fp32 products may be rounded to TF32; never.
        batches: smallest, most usual and largest batch; None where the model's batch is fixed.
        reproducible: whether a second build gave the same bytes when the engine was written. Never of plain TensorRT,
            which times its kernels, nor where the builder's addresses cannot be fixed; the engine is built once then.
        layers: the lowering of every convolution.
        checked: ``built``: no GPU has run it; ``parity``: it was run here and agrees with the reference.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: int = SIDECAR_FORMAT
    file: str
    sha256: str
    model_sha256: str
    engine: EngineName
    version: str
    compute_capabilities: list[str]
    precision: str
    tf32: Literal[False] = False
    batches: tuple[int, int, int] | None
    reproducible: bool
    layers: dict[str, str]
    checked: Literal["built", "parity"]

    @field_validator("engine")
    @classmethod
    def _is_tensorrt(cls, engine: EngineName) -> EngineName:
        known = [flavor.engine for flavor in FLAVORS]
        if engine not in known:
            raise ValueError(f"{engine} is none of {', '.join(known)}")
        return engine
