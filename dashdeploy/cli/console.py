"""What a command prints: progress on stderr, its one result on stdout, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable


class Console:
    """Where one command writes.

    Args:
        as_json: print the result as JSON; stdout then holds nothing else.
        quiet: print no progress.
        verbose: let other packages' log messages and warnings through.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        logging.basicConfig(
            stream=sys.stderr,
            level=logging.INFO if verbose else logging.WARNING,
            format="%(levelname)s %(name)s: %(message)s",
        )
        if not verbose:
            # The packages underneath warn about their own future, which no user of this command can change.
            warnings.simplefilter("ignore")

    def progress(self, line: str) -> None:
        """Say what is going on, on stderr."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def result(self, text: str, data: Any) -> None:  # noqa: ANN401 - anything that JSON can hold
        """Print the command's result: `text` for a person, `data` for a machine."""
        print(json.dumps(data, indent=2, allow_nan=False) if self.as_json else text)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> str:
    """A plain text table; columns that hold numbers are aligned to the right.

    Args:
        headers: one per column.
        rows: the cells; floats get four significant digits, None shows as a dash.
        title: a line above the table.
    """
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for column, header in enumerate(headers):
        numeric = all(isinstance(row[column], (int, float, type(None))) for row in rows)
        drawn.add_column(header, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    return "\n".join([*([title] if title else []), as_text(drawn)])


def as_text(drawn: RichTable) -> str:
    """A rich table as plain text.

    It is as wide as it needs to be: a result that is piped or logged must not be cut at some terminal's edge.
    """
    from rich.console import Console as Rich

    rich = Rich(width=10_000, color_system=None, markup=False, emoji=False, highlight=False)
    with rich.capture() as capture:
        rich.print(drawn)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join(line for line in lines if line)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
