"""The console: one page that asks nothing but this server, and the modules and style sheets that it loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashdeploy.web.page_files import MEDIA_TYPES, SHARED, page_files

_PAGE = "index.html"

_FILES: Mapping[str, bytes] = page_files(("dashdeploy.serve.http", "console"), SHARED)

CONSOLE_PATHS = frozenset({"/", *(f"/console/{name}" for name in _FILES if name != _PAGE)})
"""Where the page and what it loads are found."""

_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}

_PAGE_HEADERS = {
    **_HEADERS,
    # Scripts, styles and requests of this server alone; nothing that stands in the page or in a model's names runs.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


def console_routes() -> list[Route]:
    """A route for each of `CONSOLE_PATHS`."""
    return [Route(path, _file) for path in sorted(CONSOLE_PATHS)]


async def _file(request: Request) -> Response:
    name = PurePosixPath(request.url.path).name or _PAGE
    headers = _PAGE_HEADERS if name == _PAGE else _HEADERS
    return Response(_FILES[name], headers=headers, media_type=MEDIA_TYPES[PurePosixPath(name).suffix])
