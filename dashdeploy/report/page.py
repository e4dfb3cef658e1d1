"""The page: sections, tables, and what pointing at a layer shows, in one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.artifacts.provenance import Provenance

if TYPE_CHECKING:
    from jinja2 import Template

_SHORT = 36

Details = Mapping[str, Mapping[str, str]]
"""Per layer, what is known of it: what the inspector shows."""


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        anchor: its id within the page.
        title: its heading.
        parts: pictures, tables and paragraphs, in order.
        lead: a sentence below the heading.
    """

    anchor: str
    title: str
    parts: Sequence[Markup]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title: the heading of the page.
        subtitle: one line below it.
        tiles: the figures that matter most, (label, value, note).
        sections: in order; those without parts are left out.
        layers: what pointing at a layer shows.
    """

    title: str
    subtitle: str
    sections: Sequence[Section]
    tiles: Sequence[tuple[str, str, str]] = ()
    layers: Details = field(default_factory=dict)

    def html(self) -> str:
        """The whole file. Whatever strings the data hold, they appear as text."""
        shown = [section for section in self.sections if any(section.parts)]
        return _template().render(page=self, sections=shown)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        write_text_atomically(path, self.html())


def html_table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], *, caption: str, layers: bool = False
) -> Markup:
    """A table; numbers stand at the right, None is a dash.

    Args:
        headers: one per column.
        rows: the cells.
        caption: what it shows.
        layers: whether the first column names layers, so that pointing at a row shows the layer.
    """
    if not rows:
        return Markup("")
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(headers))]
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_right(right), header)
        for header, right in zip(headers, numeric, strict=True)
    )
    body = Markup("").join(_table_row(row, numeric, layers=layers) for row in rows)
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table><caption>{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(caption, caption, head, body)


def folded(summary: str, content: Markup) -> Markup:
    """Content that a click opens; it is open in print."""
    return (
        Markup("<details><summary>{}</summary>{}</details>").format(summary, content) if content else content
    )


def paragraph(words: str) -> Markup:
    """Words, escaped; nothing for no words."""
    return Markup("<p>{}</p>").format(words) if words else Markup("")


def provenance_section(rows: Mapping[str, object], *more: Markup) -> Section:
    """Versions, seed, command, machine."""
    shown = [(key, str(value)) for key, value in rows.items() if value not in (None, "", {})]
    return Section(
        "provenance",
        "Where this comes from",
        [html_table(["what", "value"], shown, caption="Provenance"), *more],
    )


def origin_rows(made_by: Provenance) -> dict[str, object]:
    """A process's provenance as rows."""
    return {
        "command": made_by.command,
        "machine": made_by.machine,
        "date": made_by.date,
        "commit": made_by.commit,
    }


def _table_row(row: Sequence[object], numeric: Sequence[bool], *, layers: bool) -> Markup:
    cells = []
    for column, (value, right) in enumerate(zip(row, numeric, strict=True)):
        name = Markup('th scope="row"') if column == 0 else Markup("td")
        closing = "th" if column == 0 else "td"
        cells.append(Markup("<{}{}>{}</{}>").format(name, _kind(value, right), _cell(value), closing))
    attributes = (
        Markup(' class="layer" tabindex="0" data-layer="{}"').format(row[0]) if layers else Markup("")
    )
    return Markup("<tr{}>{}</tr>").format(attributes, Markup("").join(cells))


def _kind(value: object, right: bool) -> Markup:
    """The class of a cell: a number, or words so few that they stay on one line."""
    return _right(right) or Markup(' class="short"' if len(str(value)) <= _SHORT else "")


def _right(right: bool) -> Markup:
    return Markup(' class="number"') if right else Markup("")


def _is_number(value: object) -> bool:
    if value is None or isinstance(value, (int, float)):
        return True
    words = str(value).strip("+-x%").replace(".", "").replace(",", "").replace("e-", "").replace(" ", "")
    return words.isdigit()


def _cell(value: object) -> Markup:
    if value is None:
        return Markup("–")
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # details stand in the order given
    return environment.from_string(
        files("dashdeploy.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
