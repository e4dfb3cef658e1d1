"""How many bytes of requests the server holds at once, over all of its models and both protocols.

The queues bound how many requests wait, but a request may have the size of the body limit, and bodies are read
before their requests can be queued.
"""

from __future__ import annotations

from dashdeploy.serve.protocol.errors import RequestError

BODIES = 16
"""How many requests of the greatest size may be here at once."""


class MemoryBudget:
    """Counts the bytes that requests hold. Used on the event loop's thread alone.

    Args:
        limit: the most bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def share(self) -> MemoryShare:
        """A request's share, to be used as a context; it is given back when that ends."""
        return MemoryShare(self)


class MemoryShare:
    """What one request holds.

    Args:
        budget: what it is a share of.
    """

    __slots__ = ("_budget", "_held")

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._held = 0

    def __enter__(self) -> MemoryShare:
        """Begin with nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.held -= self._held

    def add(self, size: int) -> None:
        """Hold `size` bytes more.

        Raises:
            RequestError: 503, all requests together would hold too much.
        """
        if self._budget.held + size > self._budget.limit:
            raise RequestError(
                503,
                f"the server holds {self._budget.held} bytes of requests, and no more than {self._budget.limit}; "
                "try again",
                retry_after=1,
            )
        self._budget.held += size
        self._held += size
