"""Text files in whatever encoding their author had: what counts in them are numbers, in ASCII."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from dashdeploy.data.checks import refuse

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_ENCODINGS = ("utf-8", "cp1252", "latin-1")
"""Tried in this order. The last one takes any byte, so that binary files are told by their control characters."""
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f]")


def lines_of(path: Path, fix: str) -> list[str]:
    """The lines of a text file in the encoding that it seems to have.

    Args:
        path: the file.
        fix: what to do if it is not a text file.

    Raises:
        InputError: it cannot be read, or is not a text file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        refuse(path, f"cannot be read ({error.strerror or error})", "check the path and its permissions")
    marked = [name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    text = "\0"
    for encoding in marked or _ENCODINGS:
        try:
            text = content.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    if _CONTROL_CHARACTERS.search(text):
        refuse(path, "not a text file", fix)
    return re.split("\r\n|\r|\n", text)  # unlike splitlines, no other character ends a comment
