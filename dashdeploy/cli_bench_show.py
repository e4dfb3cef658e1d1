"""The command ``bench show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.command_options import Json, Quiet, Verbose
from dashdeploy.console import Console


def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What a bench command wrote with --json FILE.")
    ],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a report for people: one HTML file."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show a result again that bench latency, search-cost or accuracy wrote.

    \b
    Example:
      dashdeploy bench show latency.json
      dashdeploy bench show search-cost.json --report search-cost.html
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)

    from dashdeploy.bench.results import load_result, text_of

    result = load_result(file)
    if report is not None:
        from dashdeploy.bench.result_page import result_page

        result_page(result).write(report)
        console.progress(f"wrote {report}")
    console.result(text_of(result), result.model_dump(mode="json"))
