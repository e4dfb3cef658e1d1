"""How a failure becomes an HTTP response: always with a body ``{"error": message}``."""

from __future__ import annotations

import logging

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from dashdeploy.serve.protocol.errors import RequestError

_LOG = logging.getLogger(__name__)


def json_response(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON body."""
    return Response(orjson.dumps(content), status, headers, "application/json")


def failure_response(error: Exception, request: str) -> Response | None:
    """The answer to a request that failed.

    Args:
        error: why.
        request: its method and path, for the messages.

    Returns:
        The response; None if the client is gone and there is nobody to answer.
    """
    if isinstance(error, ClientDisconnect):
        return None
    if isinstance(error, HTTPException):  # of the router: no such path, or no such method of it
        shown = RequestError(error.status_code, f"{error.detail}: {request}")
        return json_response({"error": shown.message}, shown.status, dict(error.headers or {}))
    if not isinstance(error, RequestError):
        _LOG.error("%s: internal error", request, exc_info=error)
        return json_response({"error": f"internal error: {type(error).__name__}"}, 500)
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response({"error": error.message}, error.status, headers)
