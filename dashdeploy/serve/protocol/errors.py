"""The error by which a request is refused, over HTTP and over gRPC; every part of the server raises it."""

from __future__ import annotations

_LONGEST_MESSAGE = 500


class RequestError(Exception):
    """A request that is answered with an error: over HTTP with the body ``{"error": message}``.

    Attributes:
        status: the HTTP status code, as Triton chooses it; `dashdeploy.serve.grpc.service` has the gRPC code of each.

            - 400: the request is malformed or does not fit the model.
            - 401: the API key is missing or wrong.
            - 404: the model is unknown.
            - 408: the body did not arrive in time.
            - 413: the body or a tensor exceeds the limit.
            - 499: the client went away.
            - 500: the engine failed.
            - 501: the server does not support what the request needs.
            - 503: the queue is full, the wait in it expired, the model is not ready, or the server shuts down.
            - 504: the answer came too late.
        message: one line that states what is wrong and what was expected; cut if it repeats a long request.
        retry_after: seconds after which the client may try again; None if that would not help.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        # A message quotes the request, which may be megabytes long or hold characters that UTF-8 cannot encode.
        shown = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "..."
        self.message = shown.encode("utf-8", "replace").decode("utf-8")
        super().__init__(self.message)
        self.status = status
        self.retry_after = retry_after
