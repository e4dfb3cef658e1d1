"""The ASGI middleware around every HTTP request: API key, answer to a failure, access log, trace.

Health checks need no key, because load balancers send none. The console's own files need none either; its page has a
field in which its reader enters the key for its requests.
"""

from __future__ import annotations

from time import perf_counter_ns

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashdeploy.serve.http.console import CONSOLE_PATHS
from dashdeploy.serve.http.errors import failure_response
from dashdeploy.serve.limits.api_keys import ApiKeys
from dashdeploy.serve.observability.logs import AccessLog
from dashdeploy.serve.observability.tracing import PROPAGATED, Tracing

OPEN_PATHS = CONSOLE_PATHS | {"/v2/health/live", "/v2/health/ready"}
"""Paths that are answered without a key."""

_UNTRACED = OPEN_PATHS | {"/metrics"}
"""Paths that probes request every few seconds."""

_PROPAGATED = frozenset(name.encode() for name in PROPAGATED)


class RequestMiddleware:
    """ASGI middleware: checks the key before anything is read, answers failures, and logs the answer.

    Args:
        app: the application behind.
        keys: the API keys.
        log: the access log.
        tracing: makes spans; None makes none.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, log: AccessLog, tracing: Tracing | None = None) -> None:
        self._app = app
        self._keys = keys
        self._log = log
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        # The router raises for what it does not know only within an application.
        scope["app"] = self
        if self._tracing is None or scope["path"] in _UNTRACED:
            await self._answer(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        carried = {k.decode(): v.decode("latin-1") for k, v in scope["headers"] if k in _PROPAGATED}
        attributes = {"http.request.method": method, "url.path": path}
        with self._tracing.request(method, carried, attributes) as span:
            status = await self._answer(scope, receive, send)
            # A path without a route may be anything, so it is not a span's name.
            name = f"{method} {path}" if "endpoint" in scope else None
            span.end(status, failed=status >= 500, name=name)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Answer it, and return the status."""
        status, size, start = 0, 0, perf_counter_ns()

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        try:
            if self._keys.needed and scope["path"] not in OPEN_PATHS:
                self._keys.check(next((v for k, v in scope["headers"] if k == b"authorization"), None))
            await self._app(scope, receive, counted)
        except Exception as error:
            response = failure_response(error, f"{scope['method']} {scope['path']}")
            if response is not None and not status:
                await response(scope, receive, counted)
        finally:
            if self._log.is_on:
                client = scope.get("client") or ("", 0)
                request = f"{scope['method']} {scope['path']}"
                self._log.write("http", f"{client[0]}:{client[1]}", request, status or 499, start, bytes=size)
        return status or 499
