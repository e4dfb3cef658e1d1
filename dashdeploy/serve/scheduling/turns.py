"""Turns: the requests of one sequence run one after the other, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque

from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.scheduling.engine import Gone


class Turns:
    """Gives one request after the other its turn. Used on the event loop's thread alone."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nobody has the turn; then nobody waits for it."""
        return not self._taken

    async def take(self, *, model: str, timeout: float, gone: Gone | None) -> None:
        """Wait for the turn; who has it gives it back with `give_back`.

        The place in the order is that of the call. Cancelling it gives the place up.

        Args:
            model: the model's name, for the messages.
            timeout: the most seconds to wait.
            gone: returns when the client has gone; awaited only if there is something to wait for.

        Raises:
            RequestError: 503 after `timeout`, 499 if the client went away.
        """
        if not self._taken:
            self._taken = True
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        watch = None if gone is None else loop.create_task(_until(gone))
        mine = False
        try:
            awaited = [each for each in (turn, watch) if each is not None]
            await asyncio.wait(awaited, timeout=max(0.0, timeout), return_when=asyncio.FIRST_COMPLETED)
            mine = turn.done()
            if not mine:
                if watch is not None and watch.done():
                    raise RequestError(499, "the client closed its connection")
                raise RequestError(503, f"request timeout expired in the queue of model '{model}'")
        finally:
            if watch is not None:
                watch.cancel()
            if not mine:
                self._give_up(turn)

    def give_back(self) -> None:
        """End the turn; whoever waits longest has the next one."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._taken = False

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done():  # the turn came in the moment in which it was given up
            self.give_back()
        else:
            self._waiting.remove(turn)


async def _until(gone: Gone) -> None:
    await gone()
