"""onnxruntime-web, the engine that runs models in a browser: where npm puts it, and what of it a page needs.

``package-lock.json`` beside this file pins it. npm installs it into this folder, where `run_in_node.mjs` finds it.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from dashdeploy.errors import MissingCapabilityError

_PACKAGE = "node_modules/onnxruntime-web"

_FILES: Mapping[str, str] = {
    "ort.js": "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.js": "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
"""What a page loads, by the name that it has there. Not every web server knows that ``.mjs`` is JavaScript, and a
browser runs no module of another type."""


def web_folder() -> Path:
    """The folder of this package, in which npm installs."""
    return Path(str(files("dashdeploy.web")))


def engine_version() -> str:
    """The version of the installed onnxruntime-web.

    Raises:
        MissingCapabilityError: it is not installed, or in another version than the pinned one.
    """
    folder = web_folder()
    pinned = str(json.loads((folder / "package-lock.json").read_bytes())["packages"][_PACKAGE]["version"])
    try:
        found = json.loads((folder / _PACKAGE / "package.json").read_bytes())["version"]
    except (OSError, ValueError, KeyError):
        found = None
    if found != pinned:
        what = "is not installed" if found is None else f"is there in version {found} instead of {pinned}"
        raise MissingCapabilityError(
            f"onnxruntime-web {what}; install it with npm, which comes with Node.js: {_install_command(folder)}"
        )
    return pinned


def what_is_missing(*, to_run: bool = False) -> str | None:
    """What keeps this machine from writing pages with the engine, and from running it; None if nothing does.

    Args:
        to_run: whether Node is needed, too.
    """
    try:
        engine_version()
    except MissingCapabilityError as error:
        return str(error)
    if to_run and find_node() is None:
        return "Node.js is not on the PATH; install it from https://nodejs.org"
    return None


def engine_files() -> Mapping[str, Path]:
    """The files that a page loads, by the name that it has there.

    Raises:
        MissingCapabilityError: as `engine_version`.
    """
    engine_version()
    return {name: web_folder() / _PACKAGE / "dist" / original for name, original in _FILES.items()}


def find_node() -> str | None:
    """The path of Node.js; None where it is not installed."""
    return shutil.which("node")


def _install_command(folder: Path) -> str:
    return f"npm ci --ignore-scripts --prefix {shlex.quote(str(folder))}"
