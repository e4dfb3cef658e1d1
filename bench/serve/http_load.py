"""Load over HTTP from a process of its own: so many connections, each sending the next request upon an answer.

The client must cost little beside the server, for both share the machine: it speaks just enough HTTP/1.1 to
repeat one prepared request, and reads answers by their Content-Length.

``python -m dashdeploy.bench.serve.http_load HOST:PORT CONNECTIONS SECONDS`` reads the request from stdin and
prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass
class Answers:
    """What the connections of one run have seen.

    Attributes:
        statuses: answers by status code.
        seconds: from request to answer, of the answers with status 200.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One connection that repeats `request` until told to stop."""

    def __init__(self, request: bytes, answers: Answers) -> None:
        self._request = request
        self._answers = answers
        self._received = bytearray()
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.stopping = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count an answer once it is whole, and send the next request."""
        self._received += data
        head_end = self._received.find(_END_OF_HEAD)
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        start = head.find(_LENGTH) + len(_LENGTH)
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(self._received) < head_end + len(_END_OF_HEAD) + length:
            return
        status = int(head[9:12])
        self._answers.statuses[status] += 1
        if status == 200:
            self._answers.seconds.append(perf_counter() - self._sent_at)
        self._received.clear()
        if self.stopping and self._transport is not None:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that the server, or this side, has closed the connection."""
        if not self.closed.done():
            self.closed.set_result(None)

    def _send(self) -> None:
        assert self._transport is not None
        self._sent_at = perf_counter()
        self._transport.write(self._request)


async def load(address: str, request: bytes, *, connections: int, seconds: float) -> tuple[Answers, float]:
    """Send `request` over and over.

    Args:
        address: ``host:port``.
        request: the whole HTTP/1.1 request, head and body.
        connections: how many requests are under way at once.
        seconds: for how long.

    Returns:
        The answers, and the seconds from the first request to the last answer.
    """
    loop = asyncio.get_running_loop()
    host, _, port = address.rpartition(":")
    answers = Answers()
    start = perf_counter()
    made = [
        (await loop.create_connection(lambda: _Connection(request, answers), host, int(port)))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(seconds)
    for connection in made:
        connection.stopping = True
    await asyncio.wait([connection.closed for connection in made], timeout=60)
    return answers, perf_counter() - start


def http_request(address: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST request of HTTP/1.1 in bytes."""
    fields = {"Host": address, "Content-Length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("ascii") + body


def main() -> None:
    """Read the request from stdin, load the server, print the result."""
    address, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    request = sys.stdin.buffer.read()
    import uvicorn

    # uvloop where it is, since whatever the client takes of the machine the server lacks.
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        answers, took = runner.run(load(address, request, connections=connections, seconds=seconds))
    times = np.asarray(answers.seconds) * 1e3
    p50, p99 = np.percentile(times, [50, 99]) if times.size else (None, None)
    result = {
        "per_second": answers.statuses[200] / took,
        "statuses": answers.statuses,
        "p50_ms": p50,
        "p99_ms": p99,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
