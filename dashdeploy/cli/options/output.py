"""The options that every command has: what it prints, and where."""

from __future__ import annotations

from typing import Annotated

import typer

from dashdeploy.cli.console import Console
from dashdeploy.cli.errors import remember_verbose
from dashdeploy.cli.options.groups import OptionGroup

Json = Annotated[bool, typer.Option("--json", help="Print only the result, as JSON, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress on stderr.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        callback=remember_verbose,
        help="Print more on stderr, and the tracebacks of errors.",
    ),
]


class Output(OptionGroup):
    """How a command prints its result and its progress."""

    as_json: Json = False
    quiet: Quiet = False
    verbose: Verbose = False

    def console(self) -> Console:
        """Where the command writes."""
        return Console(as_json=self.as_json, quiet=self.quiet, verbose=self.verbose)


class Messages(OptionGroup):
    """How a command without a result prints its progress."""

    quiet: Quiet = False
    verbose: Verbose = False

    def console(self) -> Console:
        """Where the command writes."""
        return Console(quiet=self.quiet, verbose=self.verbose)
