"""The one error by which a request is refused."""

from __future__ import annotations

_LONGEST_MESSAGE = 500


class RequestError(Exception):
    """A request that is answered with an error body ``{"error": message}``.

    Attributes:
        status: the HTTP status code, as Triton chooses it: 400 for a bad request, 404 for an unknown model,
            413 for a body over the limit, 500 for a failure of the engine, 501 for an unsupported content
            encoding, 503 while the server shuts down.
        message: one line that says what is wrong and what was expected; cut if it repeats a long request.
    """

    def __init__(self, status: int, message: str) -> None:
        # A message quotes what the client sent: it may be megabytes, or hold what UTF-8 cannot say.
        shown = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "..."
        self.message = shown.encode("utf-8", "replace").decode("utf-8")
        super().__init__(self.message)
        self.status = status
