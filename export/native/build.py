"""Compiles the native kernels with the C++ compiler of this machine: ``python -m dashdeploy.export.native.build``.

The kernels are compiled once for every instruction set that the processor's architecture knows, without
``-march=native``: one library serves all machines of the architecture, and chooses at run time.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
LIBRARY = "dashdeploy_native.dll" if sys.platform == "win32" else "libdashdeploy_native.so"
"""The library's file; it lies in the folder of `dashdeploy.runtimes.native`."""

OPENVINO_EXTENSION = "dashdeploy_openvino.dll" if sys.platform == "win32" else "libdashdeploy_openvino.so"
"""The extension of OpenVINO, beside it."""

_COMMON = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math")
_SHARED = ("plan", "program", "steps", "threads")
_X86 = {
    "portable": ("-march=x86-64", "-DDD_WIDTH=4"),
    "avx2": ("-march=x86-64-v3", "-DDD_WIDTH=8"),
    "avx512": ("-march=x86-64-v4", "-mprefer-vector-width=512", "-DDD_WIDTH=16"),
}
_OTHERS = {"portable": ("-DDD_WIDTH=4",)}


class BuildError(Exception):
    """A compiler is missing, or it refuses the sources; the message is one line."""


def find_compiler() -> str | None:
    """The C++ compiler: what the environment variable CXX names, else g++ or clang++; None if there is none."""
    named = shlex.split(os.environ.get("CXX", ""))
    candidates = named[:1] if named else ["g++", "clang++", "c++"]
    return next((found for name in candidates if (found := shutil.which(name))), None)


def build(folder: Path, *, extra: Sequence[str] = ()) -> Path:
    """Compile the library into `folder`.

    Args:
        folder: where the library goes; it is made if missing. The library appears whole or not at all.
        extra: further flags of the compiler, such as those of a sanitizer.

    Raises:
        BuildError: a compiler is missing, or it refuses the sources.
    """
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler was found; install one (Debian: apt-get install g++), or set CXX")
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    levels = _X86 if x86 else _OTHERS
    defines = [f"-DDD_HAS_{level.upper()}" for level in levels]
    with tempfile.TemporaryDirectory(prefix="dashdeploy-native-") as scratch:
        objects = Path(scratch)
        common = [compiler, *_COMMON, *extra, "-c"]
        jobs = {name: [*common, *defines, *(_X86["portable"][:1] if x86 else ())] for name in _SHARED}
        commands = {
            name: [*command, str(SOURCES / f"{name}.cpp"), "-o", str(objects / f"{name}.o")]
            for name, command in jobs.items()
        }
        for level, flags in levels.items():
            output = objects / f"kernels-{level}.o"
            source = str(SOURCES / "kernels.cpp")
            commands[level] = [*common, *flags, f"-DDD_NAMESPACE={level}", source, "-o", str(output)]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            list(pool.map(_run, commands.values()))
        linked = objects / LIBRARY
        inputs = [str(path) for path in sorted(objects.glob("*.o"))]
        _run([compiler, "-shared", *extra, *_soname(), "-o", str(linked), *inputs, "-pthread"])
        return _install(linked, folder)


def build_openvino_extension(folder: Path) -> Path | None:
    """Compile the extension of the installed OpenVINO, whose wheel has its headers and libraries.

    Args:
        folder: where the library of the native kernels is, and where the extension goes.

    Returns:
        The extension's file; None where openvino is not installed.

    Raises:
        BuildError: a compiler is missing, it refuses the sources, or the installation has no headers.
    """
    found = find_spec("openvino")
    if found is None or not found.submodule_search_locations:
        return None
    package = Path(found.submodule_search_locations[0])
    needed = [
        next(iter(sorted((package / "libs").glob(f"lib{name}.so*"))), None)
        for name in ("openvino", "openvino_onnx_frontend")
    ]
    if not (package / "include").is_dir() or None in needed:
        raise BuildError(
            f"{package} has no headers or libraries for extensions; install the wheel of PyPI: pip install openvino"
        )
    compiler = find_compiler()
    if compiler is None:
        raise BuildError("no C++ compiler was found; install one (Debian: apt-get install g++), or set CXX")
    with tempfile.TemporaryDirectory(prefix="dashdeploy-openvino-") as scratch:
        linked = Path(scratch) / OPENVINO_EXTENSION
        _run(
            [
                *(compiler, "-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-shared"),
                *("-I", str(package / "include"), str(SOURCES / "openvino_extension.cpp"), "-o", str(linked)),
                *(str(folder / LIBRARY), *map(str, needed)),
                # The kernels lie beside it, and OpenVINO where it was found.
                *("-Wl,-rpath,$ORIGIN", f"-Wl,-rpath,{package / 'libs'}"),
            ]
        )
        return _install(linked, folder)


def _soname() -> tuple[str, ...]:
    """What links to the library finds it by its name, not by the path that it had."""
    return () if sys.platform in ("win32", "darwin") else (f"-Wl,-soname,{LIBRARY}",)


def _install(built: Path, folder: Path) -> Path:
    """Put a library into a folder, whole or not at all."""
    target = folder / built.name
    beside = folder / f".{built.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy2(built, beside)
        beside.replace(target)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise BuildError(f"cannot write {target}: {error.strerror}; make the folder writable") from error
    return target


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        told = next((line for line in lines if "error" in line), lines[-1])
        raise BuildError(f"{Path(command[0]).name} refuses the native kernels: {told.strip()}")


def main() -> int:
    """Build beside `dashdeploy.runtimes.native`, and the extension where OpenVINO is; 0 is done."""
    package = Path(os.path.abspath(__file__)).parents[2]  # noqa: PTH100 - a link is not to be followed
    folder = package / "runtimes" / "native"
    if not folder.is_dir():  # reached through the checkout's own folder instead of the link to it
        folder = package / "dashdeploy" / "runtimes" / "native"
    try:
        print(build(folder))
        extension = build_openvino_extension(folder)
        if extension is not None:
            print(extension)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
