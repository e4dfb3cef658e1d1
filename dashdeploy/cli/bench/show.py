"""The command ``bench show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ReportFile
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output
from dashdeploy.errors import InputError


@with_option_groups
def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A result that a bench command wrote with --json FILE.")
    ],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[OTHER]", help="Another result of the same kind, to compare with."),
    ] = None,
    report: ReportFile = None,
    *,
    output: Output,
) -> None:
    """Show the result of a bench command again, or compare two results.

    Results of latency, networks, layers and search-cost are compared by their ratios. Milliseconds depend on the
    machine's clock, but ratios between variants that took turns should be the same in every run.

    \b
    Example:
      dashdeploy bench show latency.json
      dashdeploy bench show search-cost.json --report search-cost.html
      dashdeploy bench show latency.json latency-again.json
    """
    console = output.console()

    from dashdeploy.bench.show.results import NoResultFileError, load_result

    try:
        results = [load_result(path) for path in (file, other) if path is not None]
    except NoResultFileError as error:
        wanted = f"dashdeploy bench latency BUNDLE --json {error.path}"
        raise InputError(f"{error}; write one with: {wanted}") from error
    if other is not None:
        if report is not None:
            raise InputError("--report shows one result; leave the second file out")
        from dashdeploy.bench.show.comparison import compare

        compared = compare(*results)
        console.result(compared.text(), compared.model_dump(mode="json"))
        return
    (result,) = results
    if report is not None:
        from dashdeploy.bench.show.page import result_page

        result_page(result).write(report)
        console.progress(f"wrote {report}")
    console.result(result.text(), result.model_dump(mode="json"))
