"""The options that the measuring ``bench`` commands share, and what all of them do with a result.

``--json FILE`` writes the result to a file and prints the table as well; ``--json`` alone, like everywhere else,
prints JSON on stdout instead of the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashdeploy.artifacts.atomic import check_file_writable, write_text_atomically
from dashdeploy.cli.command import Command
from dashdeploy.cli.console import Console
from dashdeploy.cli.options.groups import OptionGroup
from dashdeploy.cli.options.output import Quiet, Verbose

if TYPE_CHECKING:
    from dashdeploy.bench.show.comparison import Result
    from dashdeploy.report.page import Page

_STDOUT = "-"


def _checked_page(path: Path | None) -> Path | None:
    """Callback of ``--report``: minutes of measuring must not end at a file that cannot be written."""
    if path is not None:
        check_file_writable(path)
    return path


def _checked_json(file: str | None) -> str | None:
    """Callback of ``--json``; as `_checked_page`."""
    if file is not None and file != _STDOUT:
        check_file_writable(Path(file))
    return file


Threads = Annotated[int, typer.Option("--threads", min=1, help="The number of threads in one operator.")]

ReportFile = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", callback=_checked_page, help="Write a report as one HTML file."),
]


class ResultOutput(OptionGroup):
    """Where a result goes."""

    json_file: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="[FILE]",
            callback=_checked_json,
            help="Write the result as JSON to FILE, or to stdout without FILE.",
        ),
    ] = None
    report_file: ReportFile = None
    quiet: Quiet = False
    verbose: Verbose = False

    def console(self) -> Console:
        """Where the command writes."""
        return Console(as_json=self.json_file == _STDOUT, quiet=self.quiet, verbose=self.verbose)

    def print(self, console: Console, text: str, data: Any) -> None:  # noqa: ANN401 - any JSON
        """Print the table, or JSON alone for ``--json``; for ``--json FILE`` print the table and write the file.

        Raises:
            InputError: the file cannot be written.
        """
        if self.json_file is not None and not console.as_json:
            write_text_atomically(Path(self.json_file), json.dumps(data, indent=2, allow_nan=False) + "\n")
            console.progress(f"wrote {self.json_file}")
        console.result(text, data)

    def finish(self, console: Console, result: Result, *, page: Callable[[], Page] | None = None) -> None:
        """Print the result and write the files that were asked for.

        Args:
            console: of the command.
            result: what was measured.
            page: makes the page; None takes the one that every result has.

        Raises:
            InputError: a file cannot be written.
        """
        # The JSON goes first: whatever else fails, the figures are kept.
        self.print(console, result.text(), result.model_dump(mode="json"))
        if self.report_file is not None:
            from dashdeploy.bench.show.page import result_page

            (page() if page else result_page(result)).write(self.report_file)
            console.progress(f"wrote {self.report_file}")


class MeasuringCommand(Command):
    """A command in which ``--json`` without a file means stdout; typer itself has no optional values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        """Parse the words of the command line."""
        return super().parse_args(ctx, name_stdout(args))


def name_stdout(words: Sequence[str]) -> list[str]:
    """Put ``-`` behind every ``--json`` that no file follows.

    What follows is not a file if it is an option or an existing folder (``bench latency --json BUNDLE``).
    """
    named: list[str] = []
    for word, following in zip(words, [*words[1:], *[None] * bool(words)], strict=True):
        named.append(word)
        if word == "--json" and (
            following is None
            or (following.startswith("-") and following != _STDOUT)
            or Path(following).is_dir()
        ):
            named.append(_STDOUT)
    return named
