"""The console: one page without any network but this server, kept in ``console.html``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

CONSOLE_HEADERS = {
    "Cache-Control": "no-cache",
    # The page's own script and style, requests to this server, and nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


@cache
def console_page() -> bytes:
    """The page, in UTF-8."""
    return files("dashdeploy.serve.http").joinpath("console.html").read_bytes()
