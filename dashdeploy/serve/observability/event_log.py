"""What happens to the server, one JSON object per line on stderr: reloads, failures, restarts."""

from __future__ import annotations

import logging
import sys

import orjson


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


def log_events() -> None:
    """Send this package's log records, and what goes wrong in the packages that it serves with, to stderr."""
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
