"""``model.native.onnx`` in OpenVINO, whose extension runs the nodes of the native kernels."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.runtimes.native.graph_file import read_native_model
from dashdeploy.runtimes.native.library import BUILD_COMMAND, chosen_instructions
from dashdeploy.runtimes.openvino import OpenVino

EXTENSION = "dashdeploy_openvino.dll" if sys.platform == "win32" else "libdashdeploy_openvino.so"
"""The extension's file; it lies beside the library of the native kernels, which it needs."""


def extension_path() -> Path:
    """Where the extension is, or would be."""
    return Path(__file__).parent / EXTENSION


def load_in_openvino(file: Path, *, threads: int | None = None) -> OpenVino:
    """A native model in OpenVINO.

    Args:
        file: a ``model.native.onnx``.
        threads: of inference, and within one native operator; None leaves the former to OpenVINO, the latter is one.

    Raises:
        MissingCapabilityError: openvino is not installed, or the extension is not built for the installed release.
        InputError: the file is damaged, was changed, or is for another version.
    """
    OpenVino.engine_version()
    chosen_instructions()
    read_native_model(file)
    extension = extension_path()
    if not extension.is_file():
        raise MissingCapabilityError(
            f"the native kernels' extension of OpenVINO is not built; build it with: {BUILD_COMMAND}"
        )
    try:
        library = ctypes.CDLL(str(extension))
        library.dd_openvino_threads(threads or 1)
        return OpenVino(file, threads=threads, extension=extension)
    except (OSError, MissingCapabilityError) as error:
        reason = " ".join(str(error).split())
        raise MissingCapabilityError(
            f"the native kernels' extension does not run in the installed OpenVINO ({reason}); build it again with: "
            f"{BUILD_COMMAND}"
        ) from error
