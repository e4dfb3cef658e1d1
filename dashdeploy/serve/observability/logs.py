"""Logs of one JSON object per line: every request (`AccessLog`), and what happens to the server (`log_events`)."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from time import perf_counter_ns, time
from typing import TextIO

import orjson

from dashdeploy.errors import InputError


class AccessLog:
    """Writes one JSON object per request, over HTTP or gRPC.

    Args:
        path: the file to append to; ``-`` is stdout; None writes nothing.

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._file: TextIO | None = None
        if path is None:
            return
        try:
            self._file = sys.stdout if str(path) == "-" else path.open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(f"`access_log={path}`: cannot be written: {error.strerror or error}") from error

    @property
    def is_on(self) -> bool:
        """Whether anything is written."""
        return self._file is not None

    def write(
        self, protocol: str, client: str, request: str, status: int | str, start_ns: int, **more: object
    ) -> None:
        """Write one request's line.

        Args:
            protocol: ``http`` or ``grpc``.
            client: the client's address.
            request: method and path.
            status: the status code.
            start_ns: when the request arrived, on `perf_counter_ns`'s clock.
            more: further fields.
        """
        if self._file is None:
            return
        entry = {
            "time": round(time(), 6),
            "protocol": protocol,
            "client": client,
            "request": request,
            "status": status,
            "ms": round((perf_counter_ns() - start_ns) * 1e-6, 3),
            **more,
        }
        try:
            self._file.write(orjson.dumps(entry).decode() + "\n")
            self._file.flush()
        except (OSError, ValueError):  # a full disk or a closed pipe must not stop the service
            self._file = None


def log_events() -> None:
    """Send log records to stderr: this package's, and the errors of the packages that it serves with.

    The records tell of reloads, failures and restarts.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name, level in (
        ("dashdeploy.serve", logging.INFO),
        ("uvicorn", logging.ERROR),
        ("opentelemetry", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": round(record.created, 6),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(entry).decode()
