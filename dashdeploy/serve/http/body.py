"""Bodies: a request's is read and decompressed within a limit; a response's is compressed if that is wanted."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from dashdeploy.serve.limits.memory_budget import MemoryShare
from dashdeploy.serve.protocol.errors import RequestError

_SMALLEST_COMPRESSED = 256
_FASTEST = 1
_AUTODETECT_ZLIB_OR_GZIP = zlib.MAX_WBITS | 32


async def read_body(
    chunks: AsyncIterator[bytes],
    declared_length: str | None,
    *,
    limit: int,
    seconds: float | None = None,
    share: MemoryShare | None = None,
) -> bytes:
    """Collect a request body.

    A body that is refused is read on and dropped, up to as much again, because a client that is still sending
    when the connection closes sees a broken pipe and never the answer.

    Args:
        chunks: the body as it arrives.
        declared_length: the Content-Length header, if there is one.
        limit: the most bytes that are kept.
        seconds: how long it may take to arrive; None waits for ever.
        share: counts the bytes that are kept; None counts nothing.

    Raises:
        RequestError: 413, the body is longer than `limit`; 408, it did not arrive in time; 503, too much is
            held already.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _collected(chunks, declared_length, limit, share)
    except TimeoutError:
        raise RequestError(408, f"the request body did not arrive within {seconds:g} s") from None


async def _collected(
    chunks: AsyncIterator[bytes], declared_length: str | None, limit: int, share: MemoryShare | None
) -> bytes:
    kept: list[bytes] = []
    refused: RequestError | None = None
    size = 0
    oversized = declared_length is not None and declared_length.isdecimal() and int(declared_length) > limit
    async for chunk in chunks:
        size += len(chunk)
        oversized = oversized or size > limit
        if size > 2 * limit:
            break
        if oversized:
            kept.clear()
        elif refused is None:
            try:
                if share is not None:
                    share.add(len(chunk))
                kept.append(chunk)
            except RequestError as error:
                refused = error
                kept.clear()
    if refused is not None:
        raise refused
    if oversized:
        raise RequestError(413, f"the request body exceeds the limit of {limit} bytes")
    return kept[0] if len(kept) == 1 else b"".join(kept)


def decompress(body: bytes, encoding: str | None, *, limit: int) -> bytes:
    """Undo a request's Content-Encoding: gzip, deflate (zlib's format) or none.

    Never more than `limit` bytes are inflated, so a small body that expands to gigabytes costs little.

    Raises:
        RequestError: 501 for another encoding, 400 for a damaged body, 413 if it inflates beyond `limit`.
    """
    name = (encoding or "identity").strip().lower()
    if name == "identity":
        return body
    if name not in ("gzip", "deflate"):
        raise RequestError(501, f"unsupported Content-Encoding {encoding!r}; use gzip, deflate or identity")
    inflater = zlib.decompressobj(_AUTODETECT_ZLIB_OR_GZIP)
    try:
        plain = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(400, f"the request body is not valid {name}: {error}") from error
    if len(plain) > limit:
        raise RequestError(413, f"the request body inflates to more than the limit of {limit} bytes")
    if not inflater.eof or inflater.unused_data:
        raise RequestError(400, f"the request body is not one whole {name} stream")
    return plain


def compress(body: bytes, accepted: str | None) -> tuple[bytes, str | None]:
    """Compress a response's body as its client accepts.

    Args:
        body: the body.
        accepted: the request's Accept-Encoding header.

    Returns:
        The body and its Content-Encoding: gzip, deflate, or None where it stays as it is because neither is
        accepted or the body is too small to gain.
    """
    if accepted is None or len(body) < _SMALLEST_COMPRESSED:
        return body, None
    offered = {}
    for entry in accepted.lower().split(","):
        name, _, weight = entry.partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    for name, window in (("gzip", zlib.MAX_WBITS | 16), ("deflate", zlib.MAX_WBITS)):
        if offered.get(name, offered.get("*", False) and name == "gzip"):
            deflater = zlib.compressobj(_FASTEST, wbits=window)
            return deflater.compress(body) + deflater.flush(), name
    return body, None
