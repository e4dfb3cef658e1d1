"""When a lone request runs inline, on the event loop's thread, instead of on one of the engine's threads.

The way to another thread and back takes 0.1 to 0.3 ms, which is more than many models take. It is saved where the
other thread would help nobody: no other request is present, and recent runs with exactly these shapes were quick.
The time of a model may depend on its values, so a run can still turn out to be slow. After each such run, the model
must be quick twice as many times in a row before it runs inline again.
"""

from __future__ import annotations

QUICK_NS = 1_000_000
"""A run of at most this length is quick; nobody notices that the event loop was busy for so long."""

_SURPRISE_NS = 5 * QUICK_NS
_FIRST_TRUST = 16

Shapes = tuple[tuple[int, ...], ...]


class InlineExecution:
    """Predicts from the last single-request runs whether the next one is quick."""

    def __init__(self) -> None:
        self._shapes: Shapes | None = None
        self._quick = 0
        self._needed = _FIRST_TRUST

    def note(self, shapes: Shapes, ns: int, *, on_loop: bool) -> None:
        """Remember a run.

        Args:
            shapes: the shapes of its inputs.
            ns: nanoseconds that the engine took.
            on_loop: whether it ran on the event loop's thread.
        """
        if on_loop and ns > _SURPRISE_NS:
            self._needed *= 2
        self._quick = self._quick + 1 if ns <= QUICK_NS and shapes == self._shapes else 0
        self._shapes = shapes

    def expect_quick(self, shapes: Shapes) -> bool:
        """Whether the next run with inputs of these shapes will be quick."""
        return self._quick >= self._needed and shapes == self._shapes
