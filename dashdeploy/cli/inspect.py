"""The commands ``inspect`` and ``verify``: what is in a run or a bundle, and whether it is as it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output


@with_option_groups
def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="RUN|BUNDLE", help="A run that search wrote, or a bundle that export wrote."),
    ],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a report as one HTML file."),
    ] = None,
    *,
    output: Output,
) -> None:
    """Show the content of a run or a bundle, layer by layer.

    \b
    Example:
      dashdeploy inspect runs/mnist1d
      dashdeploy inspect bundles/mnist1d --json
      dashdeploy inspect bundles/mnist1d --report mnist1d.html
    """
    console = output.console()
    from dashdeploy.inspect.inspection import inspect as look

    found = look(path)
    if report is not None:
        from dashdeploy.report.write import write_report

        write_report(path, report)
        console.progress(f"wrote {report}")
    console.result(found.text, found.data)


@with_option_groups
def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE|REPOSITORY|FILE.yaml...",
            help="Bundles, Triton repositories and InferenceServices that export wrote.",
        ),
    ],
    output: Output,
) -> None:
    """Check what export wrote: hashes, schemas, versions, foreign files, and parity.

    In a Triton repository every config.pbtxt must parse as Triton's ModelConfig and fit the model beside it. The
    command ends at the first fault: with exit code 1 if a file was changed, and with 4 if a model does not agree with
    its reference.

    \b
    Example:
      dashdeploy verify bundles/mnist1d
      dashdeploy verify bundles/mnist1d repository service.yaml
    """
    console = output.console()

    from dashdeploy.export.verify import verification

    found = [verification.verify(path, console.progress) for path in paths]
    console.result("\n\n".join(each.text for each in found), [each.data for each in found])
