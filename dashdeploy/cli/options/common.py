"""The options that every command has."""

from __future__ import annotations

from typing import Annotated

import typer

from dashdeploy.cli.errors import remember_verbose

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", "-v", callback=remember_verbose, help="More on stderr; tracebacks of errors."),
]
