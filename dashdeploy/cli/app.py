"""The command line: parses, calls the library, prints.

Heavy packages are imported by the command that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from dashdeploy.cli.bench.app import bench_app
from dashdeploy.cli.command import Command
from dashdeploy.cli.errors import ErrorReportingGroup
from dashdeploy.cli.export import export
from dashdeploy.cli.inspect import inspect, verify
from dashdeploy.cli.installation import doctor, tasks
from dashdeploy.cli.search import search
from dashdeploy.cli.serve import serve

app = typer.Typer(
    name="dashdeploy",
    cls=ErrorReportingGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dashdeploy.version import __version__

        print(f"dashdeploy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Search the kernels that fit a task, compile them into a fast exact model, measure it, serve it.

    \b
    dashdeploy search --task mnist1d --out run
    dashdeploy export run --out bundle
    dashdeploy bench latency bundle
    dashdeploy serve bundle
    """


for command in (serve, search, export, verify, inspect, doctor, tasks):
    app.command(cls=Command)(command)
app.add_typer(bench_app, name="bench")


def main() -> None:
    """The entry point of the ``dashdeploy`` command."""
    app()
