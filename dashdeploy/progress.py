"""Progress of long work: one callback, with one name and one type everywhere.

A function that may take seconds has a parameter ``progress: Progress = silent`` and tells it, a line at a time, what
is being done. `to_stderr` shows the lines; the search, which knows how far it has come, draws a bar for it on a
terminal. Any other function of yours gets lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

Progress = Callable[[str], None]


def silent(message: str) -> None:
    """Report to nobody."""
    del message


def to_stderr(message: str) -> None:
    """Report to stderr."""
    print(message, file=sys.stderr, flush=True)
