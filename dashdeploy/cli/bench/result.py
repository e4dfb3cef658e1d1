"""What every measuring ``bench`` command does with its result: print it, write its JSON, write its page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashdeploy.artifacts.atomic import check_file_writable
from dashdeploy.cli.console import Console
from dashdeploy.cli.options.json_file import report

if TYPE_CHECKING:
    from dashdeploy.bench.common.comparison import Result
    from dashdeploy.report.page import Page


def _checked(path: Path | None) -> Path | None:
    """Callback of ``--report``: minutes of measuring must not end at a file that cannot be written."""
    if path is not None:
        check_file_writable(path)
    return path


ReportFile = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", callback=_checked, help="Write a report for people: one HTML file."
    ),
]


def finish(
    console: Console,
    result: Result,
    json_file: str | None,
    report_file: Path | None,
    *,
    page: Callable[[], Page] | None = None,
) -> None:
    """Print the result and write the files that were asked for.

    Args:
        console: of the command.
        result: what was measured.
        json_file: the value of ``--json``.
        report_file: the value of ``--report``.
        page: makes the page; None takes the one that every result has.

    Raises:
        InputError: a file cannot be written.
    """
    from dashdeploy.bench.common.results import text_of

    # The JSON goes first: whatever else fails, the figures are kept.
    report(console, text_of(result), result.model_dump(mode="json"), json_file)
    if report_file is not None:
        from dashdeploy.bench.common.result_page import result_page

        (page() if page else result_page(result)).write(report_file)
        console.progress(f"wrote {report_file}")
