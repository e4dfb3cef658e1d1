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
from pathlib import Path

SOURCES = Path(__file__).parent / "src"
LIBRARY = "dashdeploy_native.dll" if sys.platform == "win32" else "libdashdeploy_native.so"
"""The library's file; it lies in the folder of `dashdeploy.runtimes.native`."""

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
        _run([compiler, "-shared", *extra, "-o", str(linked), *inputs, "-pthread"])
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{LIBRARY}.{os.getpid()}"
        try:
            shutil.copy2(linked, beside)
            beside.replace(folder / LIBRARY)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise BuildError(
                f"cannot write {folder / LIBRARY}: {error.strerror}; make the folder writable"
            ) from error
    return folder / LIBRARY


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        told = next((line for line in lines if "error" in line), lines[-1])
        raise BuildError(f"{Path(command[0]).name} refuses the native kernels: {told.strip()}")


def main() -> int:
    """Build beside `dashdeploy.runtimes.native`; 0 is done."""
    package = Path(os.path.abspath(__file__)).parents[2]  # noqa: PTH100 - a link is not to be followed
    folder = package / "runtimes" / "native"
    if not folder.is_dir():  # reached through the checkout's own folder instead of the link to it
        folder = package / "dashdeploy" / "runtimes" / "native"
    try:
        print(build(folder))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
