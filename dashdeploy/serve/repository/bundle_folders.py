"""Bundles on disk: in which folders they are, and whether they changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dashdeploy.artifacts.bundle import MANIFEST_NAME, Bundle
from dashdeploy.errors import InputError, stage_call

Fingerprint = tuple[tuple[str, int, int, int], ...]
"""Per file of a bundle: its path, inode, size in bytes and time of modification in nanoseconds."""

_DEEPEST = 2
"""How many folders lie above a bundle in a folder of bundles: MODEL/VERSION at most."""


def find_bundles(paths: Sequence[Path]) -> list[Path]:
    """The bundles among `paths` and in those that are folders of bundles, such as ``MODEL/VERSION``.

    Raises:
        InputError: a path is neither a bundle nor a folder that holds one.
    """
    found: list[Path] = []
    for path in paths:
        inside = [] if (path / MANIFEST_NAME).exists() else _bundles_in(path, _DEEPEST)
        if path.is_dir() and not inside and not (path / MANIFEST_NAME).exists():
            raise InputError(
                f"{path} is not a bundle and holds none: it has no {MANIFEST_NAME}; "
                f"write one with: {stage_call('export', 'RUN', out=path / 'MODEL')}"
            )
        found += [bundle for bundle in (inside or [path]) if bundle not in found]
    return found


def fingerprint(path: Path) -> Fingerprint:
    """A value that changes with the folder's content; no file is read. Empty if the folder is not there."""
    entries = []
    for file in sorted(path.rglob("*")):
        try:
            state = file.stat()
        except OSError:  # the folder is being replaced at this moment
            return ()
        if file.is_file():
            entries.append((str(file.relative_to(path)), state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(entries)


def read_name_and_version(path: Path) -> tuple[str, str]:
    """The name and version in a bundle's manifest.

    Raises:
        InputError: the manifest is missing or not readable.
    """
    manifest = Bundle.load(path, verify=False).manifest
    return manifest.name, manifest.version


def _bundles_in(folder: Path, depth: int) -> list[Path]:
    if depth == 0 or not folder.is_dir():
        return []
    found = []
    # A name that begins with a dot is a bundle that is still being written.
    for child in sorted(child for child in folder.iterdir() if not child.name.startswith(".")):
        found += [child] if (child / MANIFEST_NAME).exists() else _bundles_in(child, depth - 1)
    return found
