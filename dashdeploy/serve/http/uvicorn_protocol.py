"""uvicorn's HTTP protocol, with bounds on a request's head and this protocol's error body for what is not HTTP.

uvicorn bounds neither the size of a request's head nor the time that it takes to arrive. It also writes the head and
the body of an answer separately, which costs two system calls here and two wake-ups at the client; here they are
sent together.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024
"""The most bytes of a request line and its headers: many times what proxies let pass."""

HEAD_SECONDS = 20.0
"""The most seconds that a client may take to send them."""

_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class JoinedWrites:
    """A transport that sends what is written within one turn of the event loop at once.

    Args:
        transport: the connection's.
        loop: the event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.writelines(self._parts)
            self._parts = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else is the transport's
        return getattr(self._transport, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection. What cannot be answered within ASGI is answered here, and the connection closed."""

    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect the first head from now on; the heads after it are expected from their first byte on."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as it is not an endless head."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > HEAD_LIMIT:
            self._refuse(431, f"the request's headers exceed the limit of {HEAD_LIMIT} bytes")

    def on_message_begin(self) -> None:
        """Note that a head begins; called by the parser."""
        super().on_message_begin()
        if self._head_timer is None:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Note that it is complete; called by the parser."""
        self._end_head()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer and close; called by uvicorn when its parser gives up."""
        self._refuse(400, msg)

    def _begin_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _expire(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # An earlier request of a client that does not wait for answers comes first.
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._expire)
        elif self._head_bytes == 0:  # the client sent nothing
            self.transport.close()
        else:
            self._refuse(408, f"the request's headers did not arrive within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, message: str) -> None:
        self._end_head()
        body = orjson.dumps({"error": message})
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            # Otherwise it would end up in the midst of another answer.
            self.transport.write(head.encode("ascii") + body)
        self.transport.close()
