"""When a lone request runs on the event loop's own thread instead of being handed to the engine's.

The way to another thread and back takes 0.1 to 0.3 ms, which is more than many models take. It is saved where
nobody could gain from the other thread: no other request is here, and runs of exactly these shapes have been
quick so far. A model whose time depends on its values can still surprise once; after that it has to be quick
for twice as long before it is trusted again.
"""

from __future__ import annotations

QUICK_NS = 1_000_000
"""A run up to here is quick; nobody notices that the event loop was away for so long."""

_SURPRISE_NS = 5 * QUICK_NS
_FIRST_TRUST = 16

Shapes = tuple[tuple[int, ...], ...]


class QuickRuns:
    """What the last runs of one request alone say of the next."""

    def __init__(self) -> None:
        self._shapes: Shapes | None = None
        self._quick = 0
        self._needed = _FIRST_TRUST

    def note(self, shapes: Shapes, ns: int, *, on_loop: bool) -> None:
        """Remember a run.

        Args:
            shapes: of its inputs.
            ns: nanoseconds that the engine took.
            on_loop: whether it ran on the event loop's thread.
        """
        if on_loop and ns > _SURPRISE_NS:
            self._needed *= 2
        self._quick = self._quick + 1 if ns <= QUICK_NS and shapes == self._shapes else 0
        self._shapes = shapes

    def expect(self, shapes: Shapes) -> bool:
        """Whether the next run with inputs of these shapes will be quick."""
        return self._quick >= self._needed and shapes == self._shapes
