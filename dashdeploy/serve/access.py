"""Who may ask (API keys), and what was asked (the access log).

A key comes as ``Authorization: Bearer KEY``, over HTTP as a header and over gRPC as metadata. Health checks
need none, so that a load balancer can ask; neither does the console page, which asks its reader for the key.
"""

from __future__ import annotations

import hmac
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns, time
from typing import Any, TextIO

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashdeploy.errors import InputError
from dashdeploy.serve.app import error_response
from dashdeploy.serve.request_error import RequestError

OPEN_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready"})
"""What is answered without a key."""


class ApiKeys:
    """The keys that let a request in.

    Args:
        keys: the keys; none lets every request in.
    """

    def __init__(self, keys: frozenset[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def check(self, authorization: str | bytes | None) -> None:
        """Refuse a request without a valid key.

        Args:
            authorization: the value of its ``Authorization`` header or metadata.

        Raises:
            RequestError: 401.
        """
        if not self._keys:
            return
        given = (
            authorization.encode("latin-1", "replace") if isinstance(authorization, str) else authorization
        )
        scheme, _, key = (given or b"").partition(b" ")
        # Every key is compared, in constant time, so that the time to refuse tells nothing about them.
        matches = [hmac.compare_digest(key.strip(), known) for known in self._keys]
        if scheme.lower() != b"bearer" or not any(matches):
            raise RequestError(401, "a valid API key is needed: Authorization: Bearer KEY")


def read_api_keys(path: Path) -> frozenset[str]:
    """The keys in a file, one per line; empty lines and lines that begin with # are left out.

    Raises:
        InputError: the file cannot be read, or holds no key.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--api-key-file {path}: cannot be read: {error}") from error
    keys = frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise InputError(f"--api-key-file {path}: there is no key in it; write one per line")
    return keys


class AccessLog:
    """Writes one JSON object per request.

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
            raise InputError(f"--access-log {path}: cannot be written: {error.strerror or error}") from error

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
            start_ns: when it came, on `perf_counter_ns`'s clock.
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
