"""The result of `measure_serving`: figures, and the table that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Literal

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.result import BenchResult
from dashdeploy.report.text_table import table

OVERHEAD_HEADERS = ("one at a time", "calls", "p50 ms", "p99 ms", "overhead at p50, ms")
THROUGHPUT_HEADERS = ("server", "tensors", "connections", "requests/s", "p50 ms", "p99 ms", "refused")


class OverheadRow(FrozenModel):
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

    def cells(self) -> list[object]:
        """What a table shows, in the order of `OVERHEAD_HEADERS`."""
        figures = f"{self.p50_ms:.3f}", f"{self.p99_ms:.3f}", f"{self.overhead_p50_ms:+.3f}"
        return [self.protocol, self.calls, *figures]


class ThroughputRow(FrozenModel):
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

    def cells(self) -> list[object]:
        """What a table shows, in the order of `THROUGHPUT_HEADERS`; milliseconds in full."""
        figures = f"{self.per_second:.0f}", self.p50_ms, self.p99_ms, self.refused
        return [self.server, self.encoding, self.connections, *figures]


class ServeReport(BenchResult):
    """What was measured, on what.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        bundle: the bundle's path.
        engine: what ran it, in this process as in the server.
        seconds: how long each of the measurements took.
        overhead: one request at a time, one row per way to call.
        throughput: many requests at once, one row per server and kind of request, in the order of measuring.
    """

    kind: Literal["serve"] = "serve"
    format_version: Literal[1] = 1
    bundle: str
    engine: str
    seconds: float
    overhead: tuple[OverheadRow, ...]
    throughput: tuple[ThroughputRow, ...]

    def text(self) -> str:
        """The report for a person."""
        return "\n\n".join(
            [
                f"{self.bundle}: {self.engine}\n{self.machine_and_date}",
                table([*OVERHEAD_HEADERS[:-1], "overhead p50 ms"], _words(self.overhead)),
                table(THROUGHPUT_HEADERS, _words(self.throughput)),
                *([] if (beside := self.beside_peer()) is None else [beside]),
            ]
        )

    def beside_peer(self) -> str | None:
        """One sentence on ours beside the peer, with the same requests; None if there was no peer."""
        asked = [row for row in self.throughput if row.encoding == "JSON"]
        servers = list(dict.fromkeys(row.server for row in asked))
        if len(servers) != 2:
            return None
        ours, theirs = (median(row.per_second for row in asked if row.server == server) for server in servers)
        return f"{servers[0]} answers {ours / theirs:.1f} times as many requests a second as {servers[1]}"


def two_decimals(cells: Sequence[object]) -> list[object]:
    """Cells with their milliseconds cut short."""
    return [f"{cell:.2f}" if isinstance(cell, float) else cell for cell in cells]


def _words(rows: Sequence[OverheadRow | ThroughputRow]) -> list[list[str]]:
    """The cells of `rows` as words, which a text table aligns to the left."""
    return [["-" if cell is None else str(cell) for cell in two_decimals(row.cells())] for row in rows]
