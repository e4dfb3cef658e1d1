"""Loads the library of the native kernels, which is there if a C++ compiler was when the package was installed."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

from dashdeploy.errors import InputError, MissingCapabilityError

ABI_VERSION = 2
"""Of ``api.h``; it counts up with every change there."""

LIBRARY_VARIABLE = "DASHDEPLOY_NATIVE_LIBRARY"
"""An environment variable that names another library, such as one with sanitizers."""

INSTRUCTIONS_VARIABLE = "DASHDEPLOY_NATIVE_INSTRUCTIONS"
"""An environment variable that holds the dispatch to an instruction set: ``avx512``, ``avx2`` or ``portable``."""

_FILE = "dashdeploy_native.dll" if sys.platform == "win32" else "libdashdeploy_native.so"
BUILD_COMMAND = "python -m dashdeploy.export.native.build"


class ConvStruct(ctypes.Structure):
    """``DdConv``."""

    _fields_ = (
        ("in_channels", ctypes.c_int32),
        ("out_channels", ctypes.c_int32),
        ("groups", ctypes.c_int32),
        *(
            (name, ctypes.c_int32 * 2)
            for name in ("in_size", "kernel", "stride", "dilation", "before", "out_size")
        ),
        ("algorithm", ctypes.c_int32),
        ("tile", ctypes.c_int32 * 2),
        ("activation", ctypes.c_int32),
    )


class PoolStruct(ctypes.Structure):
    """``DdPool``."""

    _fields_ = (
        ("channels", ctypes.c_int32),
        *(
            (name, ctypes.c_int32 * 2)
            for name in ("in_size", "kernel", "stride", "dilation", "before", "out_size")
        ),
        ("mean", ctypes.c_int32),
        ("count_padding", ctypes.c_int32),
    )


class RowsStruct(ctypes.Structure):
    """``DdRows``."""

    _fields_ = (("buffer", ctypes.c_int32), ("offset", ctypes.c_int32), ("stride", ctypes.c_int32))


def library_path() -> Path:
    """Where the library is, or would be."""
    named = os.environ.get(LIBRARY_VARIABLE)
    return Path(named) if named else Path(__file__).parent / _FILE


def load_library() -> ctypes.CDLL:
    """The library.

    Raises:
        MissingCapabilityError: it was not built, or is of another version.
    """
    return _loaded(library_path())


@cache
def _loaded(path: Path) -> ctypes.CDLL:
    if not path.is_file():
        raise MissingCapabilityError(
            "the native kernels are not built: there was no C++ compiler when dashdeploy was installed; "
            f"install one (Debian: apt-get install g++) and run: {BUILD_COMMAND}"
        )
    try:
        library = ctypes.CDLL(str(path))
        found = int(library.dd_abi_version())
    except (OSError, AttributeError) as error:
        raise MissingCapabilityError(
            f"{path} does not load: {error}; build it again with: {BUILD_COMMAND}"
        ) from error
    if found != ABI_VERSION:
        raise MissingCapabilityError(
            f"{path} is of version {found} and this dashdeploy needs {ABI_VERSION}; build it again with: "
            f"{BUILD_COMMAND}"
        )
    _declare(library)
    return library


def instruction_sets() -> list[str]:
    """The instruction sets that this machine runs and the library has, best first.

    Raises:
        MissingCapabilityError: the library is not there.
    """
    return str(load_library().dd_instruction_sets().decode()).split()


def chosen_instructions(wanted: str | None = None) -> str:
    """The instruction set to run: `wanted`, else what the environment names, else the best.

    Raises:
        InputError: this machine has no such instruction set.
        MissingCapabilityError: the library is not there.
    """
    wanted = wanted or os.environ.get(INSTRUCTIONS_VARIABLE) or ""
    here = instruction_sets()
    if wanted and wanted not in here:
        raise InputError(f"{INSTRUCTIONS_VARIABLE}={wanted}: this machine has {', '.join(here)}")
    return wanted or here[0]


def _declare(library: ctypes.CDLL) -> None:
    i32, i64, pointer, text = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
    floats = ctypes.POINTER(ctypes.c_float)
    signatures: dict[str, tuple[object, list[object]]] = {
        "dd_error": (text, []),
        "dd_instruction_sets": (text, []),
        "dd_new": (pointer, [text, i32]),
        "dd_free": (None, [pointer]),
        "dd_instructions": (text, [pointer]),
        "dd_constant_bytes": (i64, [pointer]),
        "dd_buffer": (i32, [pointer, i64]),
        "dd_input": (i32, [pointer, i32]),
        "dd_output": (i32, [pointer, i32]),
        "dd_conv": (i32, [pointer, ctypes.POINTER(ConvStruct), floats, floats, *[RowsStruct] * 3]),
        "dd_pool": (i32, [pointer, ctypes.POINTER(PoolStruct), *[RowsStruct] * 2]),
        "dd_affine": (i32, [pointer, i32, i32, floats, floats, i32, *[RowsStruct] * 3]),
        "dd_layer_norm": (i32, [pointer, i32, i32, floats, floats, ctypes.c_float, *[RowsStruct] * 2]),
        "dd_transpose": (i32, [pointer, i32, i32, i32, i32]),
        "dd_ready": (i32, [pointer]),
        "dd_run": (i32, [pointer, i64, ctypes.POINTER(pointer), ctypes.POINTER(pointer)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
