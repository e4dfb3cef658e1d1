"""``model.native.onnx``: an ONNX model some of whose nodes are of the native kernels' own domain.

A node ``FusedConv`` of the domain is a convolution with what follows it. Its inputs are x, weight, bias (may be
missing) and a value of the output's shape that is added (may be missing). Its attributes are ONNX's of Conv, and

    activation    ``none``, ``relu`` (last), ``relu_sum`` (before the value is added), or ``relu_sum_relu``
    algorithm     ``direct``, ``fft`` or ``depthwise``
    tile          of the FFT, per spatial axis

Values are channels first, as everywhere in ONNX; in which layout they lie in memory is decided when the model is
loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from onnx import GraphProto, ModelProto
from pydantic import BaseModel, ConfigDict, ValidationError

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.errors import InputError

DOMAIN = "dashdeploy.native"
DOMAIN_VERSION = 1
FUSED_CONV = "FusedConv"
SIDECAR_FORMAT = 1

_AGAIN = "export the model again with `target=native`"


class NativeLayer(BaseModel):
    """How one convolution is computed.

    Attributes:
        name: the layer's.
        chosen: ``direct``, ``depthwise`` or ``fft(tile=48)``.
        milliseconds: what every way took, by its name; empty where nothing was measured.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    chosen: str
    milliseconds: dict[str, float] = {}


class NativeSidecar(BaseModel):
    """The content of ``model.native.onnx.json``.

    Attributes:
        format_version: this format's version.
        file: the model's file.
        sha256: of the model.
        direct_sha256: of the all-direct model that it computes.
        domain_version: of the domain of its nodes.
        instructions: the instruction set that it was planned and checked with; it runs with any.
        processor: where that was.
        threads: within one call, when it was planned.
        layers: how every convolution is computed.
        max_relative_error: the largest difference from the all-direct model, as a share of the largest output.
        tolerance: what that was allowed to be.
        packed_bytes: what the packed weights take in memory, on this instruction set.
        direct_ms: median latency of the all-direct model in ONNX Runtime, batch 1.
        portable_ms: that of the portable compiled model.
        native_ms: that of this model.
        speedup: median of the ratios direct / native.
        checked: ``parity``: it was run here and agrees with the reference.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: int = SIDECAR_FORMAT
    file: str
    sha256: str
    direct_sha256: str
    domain_version: int = DOMAIN_VERSION
    instructions: str
    processor: str
    threads: int
    layers: list[NativeLayer]
    max_relative_error: float
    tolerance: float
    packed_bytes: int
    direct_ms: float
    portable_ms: float
    native_ms: float
    speedup: float
    checked: Literal["parity"] = "parity"


def read_native_model(path: Path) -> ModelProto:
    """The model of a file; where its sidecar lies beside it, after a look at the hash.

    Raises:
        InputError: the file is damaged, was changed, or is for another version.
    """
    sidecar = path.with_name(f"{path.name}.json")
    if sidecar.is_file():
        _check_hash(path, sidecar)
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # protobuf's DecodeError is not public under one name
        raise InputError(f"{path} is damaged: it is not an ONNX model; {_AGAIN}") from error
    check_version(model, str(path))
    return model


def check_version(model: ModelProto, where: str) -> None:
    """Refuse a model whose nodes are of another version.

    Raises:
        InputError: it has none of this version.
    """
    versions = [opset.version for opset in model.opset_import if opset.domain == DOMAIN]
    if versions != [DOMAIN_VERSION]:
        found = f"version {versions[0]} of" if versions else "no nodes of"
        raise InputError(
            f"{where} has {found} the domain {DOMAIN}, and this dashdeploy runs version {DOMAIN_VERSION}; {_AGAIN}"
        )


def is_native(graph: GraphProto) -> bool:
    """Whether a graph has nodes of the domain."""
    return any(node.domain == DOMAIN for node in graph.node)


def _check_hash(path: Path, sidecar: Path) -> None:
    try:
        content = NativeSidecar.model_validate(json.loads(sidecar.read_bytes()))
    except ValidationError as error:
        raise InputError(f"{sidecar}: {first_problem(error)}; {_AGAIN}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{sidecar} cannot be read: {error}; {_AGAIN}") from error
    if content.sha256 != sha256_of(path):
        raise InputError(f"{path} does not match the sha256 in {sidecar.name}: it was changed; {_AGAIN}")
