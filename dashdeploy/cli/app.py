"""The command line: parses, calls the library, prints.

Heavy packages are imported by the command that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.suites import bench_app
from dashdeploy.cli.console import Console
from dashdeploy.cli.errors import ErrorReportingGroup
from dashdeploy.cli.export import export, verify
from dashdeploy.cli.options.common import Json, Quiet, Verbose
from dashdeploy.cli.parameters import invoked_command, with_options
from dashdeploy.cli.search import search
from dashdeploy.cli.serve import serve
from dashdeploy.report.text_table import table

app = typer.Typer(
    name="dashdeploy",
    cls=ErrorReportingGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(bench_app, name="bench")
app.command()(serve)


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


app.command()(search)
app.command()(export)
app.command()(verify)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="What search or export wrote.")],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a report for people: one HTML file."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what is in a run or a bundle, layer by layer.

    \b
    Example:
      dashdeploy inspect runs/mnist1d
      dashdeploy inspect bundles/mnist1d --json
      dashdeploy inspect bundles/mnist1d --report mnist1d.html
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    from dashdeploy.inspect.inspection import inspect as look

    found = look(path)
    if report is not None:
        from dashdeploy.report.write import write_report

        write_report(path, report)
        console.progress(f"wrote {report}")
    console.result(found.text, found.data)


@app.command()
def doctor(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show versions, devices and engines.

    For each engine that is missing, the command that installs it.

    \b
    Example:
      dashdeploy doctor
    """
    from dashdeploy.inspect.doctor import examine

    report = examine()
    Console(as_json=as_json, quiet=quiet, verbose=verbose).result(
        report.text(), report.model_dump(mode="json")
    )


@app.command()
def tasks(
    context: typer.Context, as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """List the built-in tasks.

    \b
    Example:
      dashdeploy tasks
    """
    from dashdeploy.data.catalog import TASKS

    of_search = invoked_command(context.find_root(), ["search"])  # they are its parameters
    described = {name: with_options(what, of_search) for name, what in TASKS.items()}
    text = table(["task", "what it is"], [[name, what] for name, what in described.items()])
    Console(as_json=as_json, quiet=quiet, verbose=verbose).result(text, described)


def main() -> None:
    """The entry point of the ``dashdeploy`` command."""
    app()
