"""The commands ``doctor`` and ``tasks``: what this machine and this installation have."""

from __future__ import annotations

from typing import Annotated

import typer

from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output
from dashdeploy.cli.parameters import spelled


@with_option_groups
def doctor(
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu", help="End with exit 3 if torch has no GPU, and name the check of one that it has."
        ),
    ] = False,
    *,
    output: Output,
) -> None:
    """Show versions, devices and engines.

    For each missing engine, the output has the command that installs it.

    \b
    Example:
      dashdeploy doctor
      dashdeploy doctor --gpu
    """
    from dashdeploy.inspect.doctor import examine, gpu_check_command

    check = gpu_check_command() if gpu else None
    report = examine()
    if check is not None:
        text = f"{report.text()}\n\ncheck everything that is meant for this GPU, in 8 minutes: {check}"
        output.console().result(text, report.model_dump(mode="json") | {"gpu_check": check})
        return
    output.console().result(report.text(), report.model_dump(mode="json"))


@with_option_groups
def tasks(output: Output) -> None:
    """List the built-in tasks.

    \b
    Example:
      dashdeploy tasks
    """
    from dashdeploy.data.catalog import TASKS
    from dashdeploy.report.text_table import table

    described = {name: spelled(what) for name, what in TASKS.items()}
    text = table(["task", "what it is"], [[name, what] for name, what in described.items()])
    output.console().result(text, described)
