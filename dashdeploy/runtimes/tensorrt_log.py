"""What TensorRT says while it works."""

from __future__ import annotations

import logging
import re
from typing import Any

_LOG = logging.getLogger("dashdeploy.tensorrt")

# Without a driver every call ends with "catchCudaError … 35" (cudaErrorInsufficientDriver), which harms nothing.
_HARMLESS = re.compile(
    r"catchCudaError.*\b35\b|\bCUDA\b.*\b35\b|insufficient driver", re.IGNORECASE | re.DOTALL
)


def is_harmless(message: str) -> bool:
    """Whether a message only says that this machine has no driver."""
    return _HARMLESS.search(message) is not None


def collecting_logger(trt: Any) -> Any:  # noqa: ANN401 - a module without type information
    """A logger for `trt` whose attribute ``errors`` collects the errors in order; the rest goes to logging.

    Args:
        trt: the imported package.
    """

    class CollectingLogger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401 - trt.ILogger.Severity
            line = " ".join(message.split())
            if is_harmless(line):
                return
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(line)
            _LOG.debug("%s", line)

    return CollectingLogger()
