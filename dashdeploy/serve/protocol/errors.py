"""The one error by which a request is refused, over HTTP and over gRPC."""

from __future__ import annotations

_LONGEST_MESSAGE = 500


class RequestError(Exception):
    """A request that is answered with an error: over HTTP with the body ``{"error": message}``.

    Attributes:
        status: the HTTP status code, as Triton chooses it: 400 for a bad request, 401 without a valid API
            key, 404 for an unknown model, 408 for a body that does not arrive, 413 for one over the limit, 499
            if the client went away, 500 for a failure of the engine, 501 for what is not supported, 503 for a
            full queue, an expired wait, a model that is not ready or a server that shuts down, 504 if the
            answer came too late.
            `grpc_service` has the table of the gRPC codes.
        message: one line that says what is wrong and what was expected; cut if it repeats a long request.
        retry_after: seconds after which the client may try again; None if that would not help.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        # A message quotes what the client sent: it may be megabytes, or hold what UTF-8 cannot say.
        shown = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "..."
        self.message = shown.encode("utf-8", "replace").decode("utf-8")
        super().__init__(self.message)
        self.status = status
        self.retry_after = retry_after
