"""The commands ``doctor`` and ``tasks``: what this machine and this installation have."""

from __future__ import annotations

from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output
from dashdeploy.cli.parameters import spelled


@with_option_groups
def doctor(output: Output) -> None:
    """Show versions, devices and engines.

    For each engine that is missing, the command that installs it.

    \b
    Example:
      dashdeploy doctor
    """
    from dashdeploy.inspect.doctor import examine

    report = examine()
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
