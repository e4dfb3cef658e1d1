"""What of onnxruntime-web a page needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dashdeploy.runtimes.ort_web.installation import find_package

_FILES: Mapping[str, str] = {
    "ort.js": "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.js": "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
"""What a page loads, by the name that it has there. Not every web server knows that ``.mjs`` is JavaScript, and a
browser runs no module of another type."""


def engine_files() -> Mapping[str, Path]:
    """The files that a page loads, by the name that it has there.

    Raises:
        MissingCapabilityError: onnxruntime-web is not installed.
    """
    folder = find_package() / "dist"
    return {name: folder / original for name, original in _FILES.items()}
