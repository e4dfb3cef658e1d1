"""SVG as text: escaped, described for those who do not see it, colored by the page's own style."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from markupsafe import Markup

SERIES = 6
"""The page has so many colors for series, the classes ``s0``, ``s1``, ...; more series repeat them."""


def element(name: str, content: str = "", **attributes: object) -> str:
    """One element; ``class_`` stands for ``class``, ``_`` in names for ``-``, and None leaves one out."""
    words = [
        f'{key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    opened = " ".join([name, *words])
    return f"<{opened}>{content}</{name}>" if content else f"<{opened}/>"


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """Words at a place; they are escaped."""
    return element("text", escape(words), x=x, y=y, **attributes)


def picture(
    width: float, height: float, title: str, description: str, parts: Iterable[str], *, least: int = 0
) -> Markup:
    """A whole picture with its text alternative, in a frame that scrolls where the page is narrower.

    Args:
        width: of the picture, in its own units.
        height: of the picture.
        title: what it shows, in a few words.
        description: what can be seen in it, for those who cannot.
        parts: its elements.
        least: the width in CSS pixels below which it scrolls instead of shrinking.
    """
    body = element("title", escape(title)) + element("desc", escape(description)) + "".join(parts)
    drawn = element(
        "svg",
        body,
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        role="img",
        aria_label=f"{title}. {description}",
        style=f"min-width:{least}px;max-width:{_text(max(width, least) * 1.25)}px",
    )
    frame = element("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=title)
    frame = element("figure", element("figcaption", escape(title)) + frame)
    return Markup(frame)  # every value in it was escaped above


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
