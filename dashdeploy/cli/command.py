"""The class of every command: error messages know it, options without effect are refused, its help has headings."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from dashdeploy.cli.effects import refuse_without_effect
from dashdeploy.cli.parameters import remember_invoked


class Command(TyperCommand):
    """A command.

    Before it parses its words, it says that it is the one that was run (see `parameters`). Before it runs, it refuses
    options that have no effect (see `effects`). Its help lists the options under the headings of their groups (see
    `options.groups`); typer itself does so only with rich's markup.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer does not export its context
        """Parse the words of the command line."""
        remember_invoked(ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as above
        """Run the command, unless an option on its command line has no effect."""
        refuse_without_effect(ctx)
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write the arguments and the options, heading by heading."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panels.setdefault(_heading(parameter), []).append(record)
        for heading, records in panels.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _heading(parameter: Any) -> str:  # noqa: ANN401 - typer does not export the classes of parameters
    if parameter.param_type_name == "argument":
        return "Arguments"
    # The option --help is not an option of typer's own class.
    return getattr(parameter, "rich_help_panel", None) or "Options"
