"""Ends a process of a run when another one is lost, whatever this one waits for.

A collective operation of NCCL waits for a process that is gone until its timeout, and it does so in C++, where no
interruption reaches Python. So a process that fails says so in the store at which all have met; a thread of every
process looks there, interrupts its process, and where that does not help ends it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from torch.distributed.distributed_c10d import Store

from dashdeploy.errors import InputError, first_line

POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""For a process to meet by itself what another one has met; both then say the same."""
PATIENCE_SECONDS = 10.0
"""How long a process may take to end by itself once it is interrupted, or once the run is over."""

FAILED = "failed"


class LostProcessError(InputError):
    """One of a run's processes ended before the run did."""


def interrupt(left: threading.Event, reason: str, last: Callable[[], None] | None = None) -> None:
    """Interrupt the main thread; where it waits in C++ and does not notice, say why and end the process.

    Args:
        left: set by the main thread when it has noticed.
        reason: what is said.
        last: what is done before the end.
    """
    # To the main thread itself: a signal to the process may reach another one, and would not wake it from a wait.
    main = threading.main_thread().ident
    assert main is not None  # it has started
    signal.pthread_kill(main, signal.SIGINT)
    if left.wait(PATIENCE_SECONDS):
        return
    print(f"error: {reason}; resume the run to go on", file=sys.stderr, flush=True)
    if last is not None:
        last()
    os._exit(LostProcessError.exit_code)


@contextmanager
def watched(store: Store, number: int, *, quiet: bool) -> Iterator[None]:
    """Within the block, this process ends when another one says in the store that it has failed, and says so itself.

    Args:
        store: at which the processes have met.
        number: this process's rank.
        quiet: whether another process speaks and acts for this one: it then ends without a word.

    Raises:
        LostProcessError: another one failed.
    """
    left, said = threading.Event(), threading.Event()
    reasons: list[str] = []

    def look() -> None:
        seen = cast(Any, store).clone()  # a store is for one thread
        while not left.wait(POLL_SECONDS):
            try:
                if not seen.check([FAILED]):
                    continue
                reasons.append(seen.get(FAILED).decode())
            except RuntimeError:  # torch's only class for whatever is wrong with a connection
                reasons.append("the connection to the first process of this run is lost")
            if left.wait(GRACE_SECONDS):
                return
            said.set()
            if quiet:
                os._exit(LostProcessError.exit_code)
            interrupt(left, reasons[0])
            return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        left.set()
        if said.is_set() and isinstance(error, KeyboardInterrupt):
            raise LostProcessError(f"{reasons[0]}; go on with `resume=True`") from error
        if not reasons:
            _tell(store, f"process {number} of this run failed: {_in_words(error)}")
        raise
    finally:
        left.set()
        thread.join(POLL_SECONDS)


def _tell(store: Store, reason: str) -> None:
    try:
        store.compare_set(FAILED, "", reason)  # the first one's reason counts
    except RuntimeError:
        return  # whoever has the store is gone and knows


def _in_words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return first_line(error) or type(error).__name__
