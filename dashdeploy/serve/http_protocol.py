"""uvicorn's HTTP protocol, with the error body of this protocol for what is not HTTP at all."""

from __future__ import annotations

import asyncio

import orjson
from uvicorn.protocols.http.auto import AutoHTTPProtocol


class HttpProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Answers a malformed HTTP message with ``{"error": ...}``, where uvicorn answers with plain text."""

    transport: asyncio.Transport

    def send_400_response(self, msg: str) -> None:
        """Answer and close; called by uvicorn when its parser gives up."""
        body = orjson.dumps({"error": msg})
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
