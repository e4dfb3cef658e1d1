"""What every HTTP request passes first and last: the API key, the access log.

Health checks need no key, so that a load balancer can ask; neither does the console page, which asks its
reader for one.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashdeploy.serve.access_log import AccessLog
from dashdeploy.serve.api_keys import ApiKeys
from dashdeploy.serve.app import error_response
from dashdeploy.serve.request_error import RequestError

OPEN_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready"})
"""What is answered without a key."""


class Gate:
    """ASGI middleware: checks the key before anything is read, and logs the answer.

    Args:
        app: the application behind.
        keys: the API keys.
        log: the access log.
    """

    def __init__(self, app: ASGIApp, keys: ApiKeys, log: AccessLog) -> None:
        self._app = app
        self._keys = keys
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, size, start = 0, 0, perf_counter_ns()

        async def counted(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                size += len(message.get("body", b""))
            await send(message)

        sender: Callable[[Message], Any] = counted if self._log.is_on else send
        try:
            if scope["path"] not in OPEN_PATHS:
                self._keys.check(next((v for k, v in scope["headers"] if k == b"authorization"), None))
        except RequestError as error:
            await error_response(error)(scope, receive, sender)
        else:
            await self._app(scope, receive, sender)
        finally:
            if self._log.is_on:
                client = scope.get("client") or ("", 0)
                request = f"{scope['method']} {scope['path']}"
                self._log.write("http", f"{client[0]}:{client[1]}", request, status, start, bytes=size)
