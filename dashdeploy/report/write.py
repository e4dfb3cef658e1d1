"""Writes the report of whatever is in a folder: the one place that knows the pages of runs and of bundles."""

from __future__ import annotations

from pathlib import Path

from dashdeploy.artifacts.bundle import MANIFEST_NAME, Bundle
from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.report.bundle_report import bundle_page
from dashdeploy.report.run_report import run_page


def write_report(path: Path, file: Path) -> None:
    """Write the report of the run or the bundle at `path` to `file`.

    Raises:
        InputError: there is neither, it is malformed, or the file cannot be written.
    """
    if (path / MANIFEST_NAME).exists():
        bundle_page(Bundle.load(path)).write(file)
    else:
        run_page(RunDirectory.load(path)).write(file)
