"""Write docs/cli.md from the help texts of the commands, or check that it is up to date.

python docs/generate_cli_reference.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from dashdeploy.cli.app import app

REFERENCE = Path(__file__).with_name("cli.md")
WIDTH = 100
HELP = ["-h", "--help"]

INTRODUCTION = """\
# The command line

<!-- Written by `make docs` from --help; change the help texts in dashdeploy/cli instead. -->

Progress goes to stderr, results to stdout. `--json` prints the result as JSON and nothing else on stdout.

An option that has no effect on the given source or beside the other options ends the command with exit 1 and a line
that says why. The table is in `dashdeploy/cli/effects.py`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the input was wrong; one line says what, where, and how to correct it |
| 2 | usage: an unknown option, a missing argument |
| 3 | this machine lacks what was asked for; the line gives the command that installs it |
| 4 | the parity gate or the speed gate failed; nothing was written |
| 70 | a fault of dashdeploy itself; `--verbose` shows the traceback to report |
| 130, 141 | interrupted; the reader of stdout went away |
"""


def commands(command: Any, context: typer.Context) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - typer's own type
    """Every command's full name with its help text, depth first."""
    yield context.command_path, command.get_help(context)
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, typer.Context(child, info_name=name, parent=context, terminal_width=WIDTH))


def reference() -> str:
    """The content of docs/cli.md."""
    root = get_command(app)
    context = typer.Context(root, info_name="dashdeploy", terminal_width=WIDTH, help_option_names=HELP)
    sections = [f"## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in commands(root, context)]
    return "\n".join([INTRODUCTION, *sections])


def main() -> int:
    """Write the file, or with --check compare it."""
    wanted = reference()
    if "--check" not in sys.argv[1:]:
        REFERENCE.write_text(wanted, encoding="utf-8")
        return 0
    if REFERENCE.read_text(encoding="utf-8") == wanted:
        return 0
    print("docs/cli.md is out of date; write it again with: make docs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
