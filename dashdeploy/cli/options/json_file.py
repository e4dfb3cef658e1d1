"""The ``--json`` of the bench commands, which takes a file but may stand alone.

``--json FILE`` writes the result to a file and prints the table as well; ``--json`` alone, like everywhere
else, prints JSON on stdout instead of the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from dashdeploy.artifacts.atomic import check_file_writable, write_text_atomically
from dashdeploy.cli.console import Console

STDOUT = "-"


def _checked(file: str | None) -> str | None:
    """Callback of ``--json``: minutes of measuring must not end at a file that cannot be written."""
    if file is not None and file != STDOUT:
        check_file_writable(Path(file))
    return file


JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="[FILE]",
        callback=_checked,
        help="Write the result to FILE as JSON; without FILE, to stdout and nothing else.",
    ),
]


class JsonFileCommand(TyperCommand):
    """A command in which ``--json`` without a file means stdout; typer itself has no optional values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own context
        """Parse the words of the command line."""
        return super().parse_args(ctx, name_stdout(args))


def name_stdout(words: Sequence[str]) -> list[str]:
    """Put ``-`` behind every ``--json`` that no file follows.

    What follows is no file if it is an option or an existing folder (``bench latency --json BUNDLE``).
    """
    named: list[str] = []
    for word, following in zip(words, [*words[1:], *[None] * bool(words)], strict=True):
        named.append(word)
        if word == "--json" and (
            following is None
            or (following.startswith("-") and following != STDOUT)
            or Path(following).is_dir()
        ):
            named.append(STDOUT)
    return named


def report(console: Console, text: str, data: Any, json_file: str | None) -> None:  # noqa: ANN401 - any JSON
    """Print the table, or JSON alone for ``--json``; for ``--json FILE`` print the table and write the file.

    Raises:
        InputError: the file cannot be written.
    """
    console.as_json = json_file == STDOUT
    if json_file is not None and json_file != STDOUT:
        write_text_atomically(Path(json_file), json.dumps(data, indent=2, allow_nan=False) + "\n")
        console.progress(f"wrote {json_file}")
    console.result(text, data)
