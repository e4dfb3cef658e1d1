"""Writes the site: the models, onnxruntime-web, the page and its modules. Any web server for files can serve it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import onnx

from dashdeploy.artifacts.atomic import atomic_directory, check_writable, sha256_of
from dashdeploy.artifacts.bundle import DIRECT_NAME, MODEL_NAME, SAMPLE_NAME, Bundle
from dashdeploy.export.web.engine_files import engine_files
from dashdeploy.export.web.page_engine_check import Found, check_in_node
from dashdeploy.export.web.site_manifest import COMPILED, DIRECT, SITE_NAME, Site, SiteFile, SiteTensor
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.ort_web.installation import find_package, pinned_version
from dashdeploy.web.page_files import SHARED, page_files

_OWN = "dashdeploy.export.web", "page"
_INDEX = "index.html"
_FILES: Mapping[str, tuple[str, str]] = {
    COMPILED: (MODEL_NAME, "model.onnx"),
    DIRECT: (DIRECT_NAME, "direct.onnx"),
}
"""The bundle's file and the site's, by what the page calls the model."""

_FASTER = 0.97
"""Below which share of the compiled model's time the direct one is faster, and not merely timed at another moment."""

_HEADERS = """\
# Netlify, Cloudflare Pages and others read this file. A page that is isolated from other origins may use threads.
/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
"""


def check_site(folder: Path) -> None:
    """Find out before long work whether the site can be written.

    Raises:
        InputError: the folder is there already, or cannot be written.
        MissingCapabilityError: onnxruntime-web is not installed.
    """
    find_package()
    check_writable(folder, parameter="web")


def write_site(bundle: Bundle, folder: Path, progress: Progress = silent) -> Site:
    """Write a bundle as a static site, whole or not at all, checked in onnxruntime-web where Node is there.

    Args:
        bundle: the bundle.
        folder: the site; it must not exist.
        progress: a function that gets a line for each step.

    Raises:
        InputError: the folder cannot be written, or a page has no such element type.
        MissingCapabilityError: onnxruntime-web is not installed.
        GateError: a model does not say in onnxruntime-web what it says in ONNX Runtime.
    """
    check_site(folder)
    progress(f"writing {folder}")
    with atomic_directory(folder, parameter="web") as site:
        for source, target in _FILES.values():
            _copy_in_one_file(bundle.path / source, site / target)
        sample = bundle.file(SAMPLE_NAME)
        if sample is not None:
            shutil.copyfile(sample, site / SAMPLE_NAME)
        _write_page(site)
        checked_in, found = _checked(bundle, site, progress)
        manifest = _manifest(bundle, site, checked_in, found)
        (site / SITE_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _copy_in_one_file(source: Path, target: Path) -> None:
    """Copy a model; tensors in files beside it are taken in, since a page fetches one file."""
    if any(each.external_data for each in onnx.load(source, load_external_data=False).graph.initializer):
        onnx.save(onnx.load(source), target)
    else:
        shutil.copyfile(source, target)


def _write_page(site: Path) -> None:
    (site / "page").mkdir()
    for name, content in page_files(_OWN, SHARED).items():
        (site / name if name == _INDEX else site / "page" / name).write_bytes(content)
    (site / "engine").mkdir()
    for name, path in engine_files().items():
        shutil.copyfile(path, site / "engine" / name)
    (site / "_headers").write_text(_HEADERS, encoding="utf-8")


def _checked(bundle: Bundle, site: Path, progress: Progress) -> tuple[str | None, dict[str, Found]]:
    missing = ONNX_ENGINES[EngineName.ORT_WEB].missing()
    if missing is not None:
        progress(f"the models are not checked in onnxruntime-web: {missing}")
        return None, {}
    progress("checking the models in onnxruntime-web")
    checked_in, found = check_in_node(bundle, {name: site / target for name, (_, target) in _FILES.items()})
    compiled, direct = found[COMPILED].ms, found[DIRECT].ms
    ratio = f"{direct / compiled:.2f} times as fast as direct"
    progress(f"{checked_in}: compiled {compiled:.1f} ms, direct {direct:.1f} ms, {ratio}")
    if _direct_is_faster(found):
        progress("the compiled model is slower there: the page predicts with the direct one")
    return checked_in, found


def _direct_is_faster(found: Mapping[str, Found]) -> bool:
    return bool(found) and found[DIRECT].ms < _FASTER * found[COMPILED].ms


def _manifest(bundle: Bundle, site: Path, checked_in: str | None, found: Mapping[str, Found]) -> Site:
    files = {}
    for name, (_, target) in _FILES.items():
        path, seen = site / target, found.get(name)
        files[name] = SiteFile(
            path=target,
            bytes=path.stat().st_size,
            sha256=sha256_of(path),
            max_relative_error=None if seen is None else seen.error,
            ms=None if seen is None else seen.ms,
        )
    manifest = bundle.manifest
    return Site(
        name=manifest.name,
        version=manifest.version,
        inputs=[SiteTensor.of(spec) for spec in manifest.inputs],
        outputs=[SiteTensor.of(spec) for spec in manifest.outputs],
        labels=manifest.labels,
        multi_label=manifest.multi_label,
        files=files,
        uses="direct" if _direct_is_faster(found) else "compiled",
        sample=None if bundle.file(SAMPLE_NAME) is None else SAMPLE_NAME,
        engine=pinned_version(),
        checked_in=checked_in,
    )
