"""Tables of plain text, as wide as they need to be; columns of words may be wrapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable

TERMINAL = 100
"""Columns that a line should not exceed."""


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    title: str | None = None,
    widths: Mapping[str, int] | None = None,
) -> str:
    """A plain text table; columns that hold numbers are aligned to the right.

    Args:
        headers: one per column.
        rows: the cells; floats get four significant digits, None shows as a dash.
        title: a line above the table.
        widths: of columns, by header, whose longer cells take several lines where the table is wider than a terminal;
            all others are as wide as they need to be.
    """
    lines = _drawn(headers, rows, {})
    if widths and max(map(len, lines.splitlines())) > TERMINAL:
        lines = _drawn(headers, rows, widths)
    return "\n".join([*([title] if title else []), lines])


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[object]], widths: Mapping[str, int]) -> str:
    from rich import box
    from rich.table import Table

    drawn = Table(box=box.SIMPLE, pad_edge=False, show_edge=False)
    for column, header in enumerate(headers):
        numeric = all(isinstance(row[column], (int, float, type(None))) for row in rows)
        width = widths.get(header)
        drawn.add_column(
            header,
            justify="right" if numeric else "left",
            no_wrap=width is None,
            max_width=width,
            overflow="fold",
        )
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    return as_text(drawn)


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
