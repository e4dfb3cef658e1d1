"""The command ``bench show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.result import ReportFile
from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Json, Quiet, Verbose
from dashdeploy.errors import InputError


def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="What a bench command wrote with --json FILE.")
    ],
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OTHER]", help="Another result of the same kind, to compare its ratios with."
        ),
    ] = None,
    report: ReportFile = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show a result again that a bench command wrote, or compare two.

    Two of latency, networks, layers or search-cost are compared by their ratios: milliseconds depend on the
    machine's clock, ratios of what took turns should be the same in every run.

    \b
    Example:
      dashdeploy bench show latency.json
      dashdeploy bench show search-cost.json --report search-cost.html
      dashdeploy bench show latency.json latency-again.json
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)

    from dashdeploy.bench.common.results import load_result, text_of

    result = load_result(file)
    if other is not None:
        if report is not None:
            raise InputError("--report shows one result; leave the second file out")
        from dashdeploy.bench.common.comparison import compare

        compared = compare(result, load_result(other))
        console.result(compared.text(), compared.model_dump(mode="json"))
        return
    if report is not None:
        from dashdeploy.bench.common.result_page import result_page

        result_page(result).write(report)
        console.progress(f"wrote {report}")
    console.result(text_of(result), result.model_dump(mode="json"))
