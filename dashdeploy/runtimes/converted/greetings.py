"""Keeps the greetings of engines away from results and from progress."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_ONE_AT_A_TIME = Lock()
"""Of two at once, the second would keep for later where the first one sends the output."""


@contextmanager
def without_greeting(descriptor: int) -> Iterator[None]:
    """Within the block, what C prints is dropped.

    Args:
        descriptor: 1, stdout, which belongs to results, or 2, stderr, which belongs to progress.
    """
    with _ONE_AT_A_TIME:
        (sys.stdout if descriptor == 1 else sys.stderr).flush()
        library = ctypes.CDLL(None) if os.name == "posix" else None
        kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, descriptor)
            yield
        finally:
            if library is not None:
                library.fflush(None)
            os.dup2(kept, descriptor)
            os.close(kept)
            os.close(nowhere)
