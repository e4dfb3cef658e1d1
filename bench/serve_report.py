"""The result of `measure_serving`: figures, and the table that a person reads."""

from __future__ import annotations

from statistics import median

from pydantic import BaseModel

from dashdeploy.console import table


class OverheadRow(BaseModel):
    """One way to call the model, one request at a time.

    Attributes:
        protocol: ``in process``, ``HTTP`` or ``gRPC``.
        calls: how many were timed.
        p50_ms: median of a call, in milliseconds.
        p99_ms: its 99th percentile.
        overhead_p50_ms: median of what a call takes longer than the in-process call of the same round.
    """

    protocol: str
    calls: int
    p50_ms: float
    p99_ms: float
    overhead_p50_ms: float


class ThroughputRow(BaseModel):
    """One server under many requests at once, over HTTP.

    Attributes:
        server: which server.
        encoding: ``binary`` or ``JSON`` tensors.
        connections: requests under way at once.
        per_second: answered requests per second.
        p50_ms: median of a request, in milliseconds.
        p99_ms: its 99th percentile.
        refused: requests that were not answered with 200.
    """

    server: str
    encoding: str
    connections: int
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    refused: int


class ServeReport(BaseModel):
    """What was measured, on what."""

    bundle: str
    engine: str
    machine: str
    date: str
    seconds: float
    overhead: tuple[OverheadRow, ...]
    throughput: tuple[ThroughputRow, ...]

    def text(self) -> str:
        """The report for a person."""
        overhead = [
            [
                row.protocol,
                str(row.calls),
                f"{row.p50_ms:.3f}",
                f"{row.p99_ms:.3f}",
                f"{row.overhead_p50_ms:+.3f}",
            ]
            for row in self.overhead
        ]
        throughput = [
            [
                row.server,
                row.encoding,
                str(row.connections),
                f"{row.per_second:.0f}",
                _ms(row.p50_ms),
                _ms(row.p99_ms),
                str(row.refused),
            ]
            for row in self.throughput
        ]
        return "\n\n".join(
            [
                f"{self.bundle}: {self.engine}\n{self.machine}, {self.date}",
                table(["one at a time", "calls", "p50 ms", "p99 ms", "overhead p50 ms"], overhead),
                table(
                    ["server", "tensors", "connections", "requests/s", "p50 ms", "p99 ms", "refused"],
                    throughput,
                ),
                *self._ratio(),
            ]
        )

    def _ratio(self) -> list[str]:
        """One sentence on ours beside the peer, with the same requests, if there was a peer."""
        asked = [row for row in self.throughput if row.encoding == "JSON"]
        servers = list(dict.fromkeys(row.server for row in asked))
        if len(servers) != 2:
            return []
        ours, theirs = (median(row.per_second for row in asked if row.server == server) for server in servers)
        return [f"{servers[0]} answers {ours / theirs:.1f} times as many requests a second as {servers[1]}"]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
