"""Progress of long work: one callback, with one name and one type everywhere.

A function that may take seconds has a parameter ``progress: Progress = silent`` and tells it, a line at a time, what
is being done. The command line passes a callback that writes to stderr.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """Report to nobody."""
    del message
