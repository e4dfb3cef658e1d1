"""Where the pinned onnxruntime-web is, and what installs it.

It lives in the Python environment that dashdeploy is installed in, or in the user's cache where that environment
cannot be written. ``python -m dashdeploy.runtimes.ort_web.installation`` installs exactly what the lock file names.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from dashdeploy.artifacts.atomic import atomic_directory
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.machine import cache_folder

_HERE = Path(__file__).parent
_PINS = ("package.json", "package-lock.json")
_PACKAGE = "onnxruntime-web"

INSTALL_COMMAND = f"{Path(sys.executable).name} -m dashdeploy.runtimes.ort_web.installation"
"""What installs the package."""


def pinned_version() -> str:
    """The version of onnxruntime-web that ``package.json`` asks for."""
    return str(json.loads((_HERE / "package.json").read_bytes())["dependencies"][_PACKAGE])


def find_node() -> Path:
    """The program ``node``.

    Raises:
        MissingCapabilityError: it is not on the PATH.
    """
    found = shutil.which("node")
    if found is None:
        raise MissingCapabilityError(
            "onnxruntime-web needs Node.js 18 or newer, and `node` is not on the PATH; install it from "
            f"https://nodejs.org (on Debian: apt-get install nodejs npm), then run: {INSTALL_COMMAND}"
        )
    return Path(found)


@cache
def node_version(node: Path) -> str:
    """The version of the program, such as 20.20.2: its V8 is what makes WebAssembly fast.

    Raises:
        MissingCapabilityError: the program does not run.
    """
    try:
        done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingCapabilityError(f"{node} does not run: {error}; install Node.js again") from error
    return done.stdout.strip().removeprefix("v")


def find_package() -> Path:
    """The folder of the package onnxruntime-web, as npm unpacked it; ``dist/`` holds the WebAssembly.

    Raises:
        MissingCapabilityError: it is not installed.
    """
    for root in _roots():
        package = root / "node_modules" / _PACKAGE
        if (package / "package.json").is_file():
            return package
    raise MissingCapabilityError(
        f"onnxruntime-web {pinned_version()} is not installed; install it with: {INSTALL_COMMAND}"
    )


def install() -> Path:
    """Install what the lock file names with ``npm ci``, whole or not at all; gives the package's folder.

    Raises:
        MissingCapabilityError: Node or npm is missing.
        InputError: npm fails, or neither place can be written.
    """
    try:
        return find_package()
    except MissingCapabilityError:
        find_node()
    npm = shutil.which("npm")
    if npm is None:
        raise MissingCapabilityError(
            "onnxruntime-web is installed by npm, which is not on the PATH; on Debian: apt-get install npm"
        )
    refusals = []
    for root in _roots():
        try:
            with atomic_directory(root) as folder:
                for name in _PINS:
                    shutil.copy(_HERE / name, folder / name)
                # Nothing of these packages needs its install scripts, so none is run.
                command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
                if done.returncode:
                    lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
                    raise InputError(
                        f"npm cannot install onnxruntime-web: {' '.join(lines[:3]) or 'no reason'}"
                    )
            return find_package()
        except InputError as error:
            refusals.append(str(error))
    raise InputError("; ".join(refusals))


def _roots() -> tuple[Path, ...]:
    """The places, the preferred one first; an upgraded pin has places of its own."""
    name = f"ort-web-{pinned_version()}"
    return Path(sys.prefix) / "share" / "dashdeploy" / name, cache_folder() / name


def _main() -> int:
    try:
        print(install())
    except (InputError, MissingCapabilityError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
