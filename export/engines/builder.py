"""Builds an engine from an ONNX file, with either flavor of TensorRT.

The building itself is `build_program`'s, in a process of its own: a rebuild gives the same bytes there, and a library
that crashes takes nothing with it. Precision comes from the model's own types, since networks are strongly typed from
TensorRT 11 on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from dashdeploy.errors import DashdeployError, GateError, InputError
from dashdeploy.export.engines.parser_errors import ParserError, parser_error
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.passes.fold_constants import FoldConstants
from dashdeploy.machine import cache_folder
from dashdeploy.runtimes.tensorrt import is_harmless
from dashdeploy.runtimes.tensorrt_flavors import Flavor

_PROGRAM = Path(__file__).with_name("build_program.py")
_ENVIRONMENT = (
    *("LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "CUDA_VISIBLE_DEVICES"),
    *(("SYSTEMROOT", "PATH") if sys.platform == "win32" else ()),
)
"""What the program gets of the environment: where libraries and devices are; anything else moves its memory."""


@dataclass(frozen=True)
class BuiltEngine:
    """An engine that was built.

    Attributes:
        content: the serialized engine.
        dynamic: whether the batch of an input is dynamic, so that the engine has a profile.
        fixed_addresses: whether the builder's addresses could be fixed and it times no kernels, without which a
            rebuild gives the same bytes by chance alone. Plain TensorRT times them.
    """

    content: bytes
    dynamic: bool
    fixed_addresses: bool


def build_engine(
    model: Path, flavor: Flavor, settings: EngineSettings, compiled_layers: Collection[str] = ()
) -> BuiltEngine:
    """Build the engine of a model.

    Args:
        model: an ONNX file whose inputs are static apart from the batch.
        flavor: which TensorRT.
        settings: for which GPUs and batches.
        compiled_layers: the layers that dashdeploy wrote, for the errors.

    Raises:
        MissingCapabilityError: the flavor cannot build on this machine.
        InputError: TensorRT does not know an operator of the model, a compute capability, or an axis that is
            dynamic.
        GateError: TensorRT refuses what dashdeploy wrote, finds no way to run the network, or crashes.
    """
    trt = flavor.load()
    cache = None if flavor.ahead_of_time else cache_folder() / f"tensorrt-{trt.__version__}.timing"
    request = {
        "module": flavor.module,
        "plugins": not flavor.ahead_of_time,
        "capabilities": settings.compute_capabilities if flavor.ahead_of_time else (),
        "batches": settings.batches,
        "timing_cache": None if cache is None else str(cache.absolute()),
    }
    report, engine = _run(request, model, flavor)
    if report["failed"] is not None:
        raise _failure(report, trt, flavor, compiled_layers)
    return BuiltEngine(
        content=engine,
        dynamic=bool(report["dynamic"]),
        fixed_addresses=flavor.ahead_of_time and bool(report["fixed_addresses"]),
    )


def _run(request: dict[str, Any], model: Path, flavor: Flavor) -> tuple[dict[str, Any], bytes]:
    """Start the program; its report and the engine."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as result:
        given.write(_with_folded_constants(model))
        given.seek(0)
        done = subprocess.run(
            [sys.executable, "-P", str(_PROGRAM), json.dumps(request)],
            stdin=given,
            stdout=result,
            stderr=subprocess.PIPE,
            env={**environment, "PYTHONHASHSEED": "0"},
            cwd=Path(sys.executable).anchor,  # the working directory's name is in memory, too
            check=False,
        )
        result.seek(0)
        first = result.readline()
        if done.returncode != 0 or not first:
            said = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
            raise GateError(
                f"{flavor.title} ended with {_ending(done.returncode)} while it built the engine: "
                f"{said[-1].strip() if said else 'it says nothing'}; nothing was written; try `lowering=direct`"
            )
        return json.loads(first), result.read()


def _with_folded_constants(model: Path) -> bytes:
    """The file, or the same model without operators on constants alone, which TensorRT would keep as they are."""
    read = ir.load(model)
    if not FoldConstants()(read).modified:
        return model.read_bytes()
    LiftConstantsToInitializersPass(lift_all_constants=False)(read)
    RemoveUnusedNodesPass()(read)
    return serialized(read)


def _ending(code: int) -> str:
    """An exit code in words."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _failure(
    report: dict[str, Any],
    trt: Any,  # noqa: ANN401 - a module without type information
    flavor: Flavor,
    compiled_layers: Collection[str],
) -> DashdeployError:
    """The error that a failed build ends with."""
    if report["failed"] == "parser":
        errors = [ParserError(**error) for error in report["errors"]]
        return parser_error(errors, flavor, compiled_layers)
    if report["failed"] == "capability":
        names = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
        known = sorted((f"{name[2:-1]}.{name[-1]}" for name in names), key=float)
        return InputError(
            f"`compute_capabilities`: {flavor.title} {trt.__version__} builds no engine for {report['value']}; "
            f"it knows {', '.join(known)}"
        )
    if report["failed"] == "axes":
        return InputError(
            f"input {report['input']} has dynamic axes besides the batch; fix them with "
            f"`input_shapes={report['input']}=1,C,N` before an engine is built"
        )
    said = [line for line in report["errors"] if not is_harmless(line)]
    return GateError(
        f"{flavor.title} cannot build the engine: {'; '.join(said[-2:]) or 'it gives no reason'}; "
        "nothing was written; try `lowering=direct`"
    )
