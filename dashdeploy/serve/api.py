"""The Python function that serves bundles; `dashdeploy.serve` is this function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import EngineName
from dashdeploy.serve.server import serve as run_server
from dashdeploy.serve.settings import ServeSettings


def serve(
    *bundles: str | Path | Bundle,
    settings: ServeSettings | None = None,
    **fields: Any,  # noqa: ANN401 - each has the type of the settings' field
) -> None:
    """Serve bundles over HTTP and gRPC (Open Inference Protocol, version 2) until the process stops.

    The call blocks. SIGINT (Ctrl-C) and SIGTERM end it after the accepted requests are answered; a second signal
    cuts this short. Call it from the main thread, because it handles these two signals. Every bundle is verified,
    loaded and warmed up before the ports are bound. Then one line on stderr gives the addresses.

    Args:
        *bundles: bundles, their folders, or folders of bundles such as ``MODEL/VERSION``.
        settings: the settings; None takes the defaults.
        **fields: single settings, which replace those of `settings`: ``host``, ``http_port``, ``grpc_port``,
            ``engine``, ``threads``, ``batching`` and every other field of `ServeSettings`. Paths may be strings,
            the engine may be its name, and the API keys any collection of strings.

    Returns:
        None, once the server has stopped.

    Raises:
        InputError: a bundle is missing, damaged or a duplicate; an address cannot be bound; a setting is wrong.
        MissingCapabilityError: a package of the ``serve`` extra, or the engine, is not installed.
        TypeError: a name in `fields` is not a setting.

    Example:
        ::

            import dashdeploy

            dashdeploy.serve("bundles/mnist1d", http_port=8000, grpc_port=8001)

        Requests to ``http://127.0.0.1:8000/v2/models/mnist1d/infer`` are answered until Ctrl-C.
    """
    converted: dict[str, Any] = {
        name: value if value is None or name not in _CONVERSIONS else _CONVERSIONS[name](value)
        for name, value in fields.items()
    }
    folders = [bundle.path if isinstance(bundle, Bundle) else Path(bundle) for bundle in bundles]
    run_server(folders, replace(settings or ServeSettings(), **converted))


def _engine(name: str) -> EngineName:
    try:
        return EngineName(name)
    except ValueError:
        raise InputError(f"`engine={name}`: no such engine; choose from {', '.join(EngineName)}") from None


def _api_keys(keys: object) -> frozenset[str]:
    if isinstance(keys, str) or not hasattr(keys, "__iter__"):
        raise InputError("`api_keys`: not a collection of strings; write one key as {'KEY'}")
    return frozenset(keys)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "engine": _engine,
    "api_keys": _api_keys,
    "tls_certificate": Path,
    "tls_key": Path,
    "access_log": Path,
}
"""Makes the value of a field from what is convenient to write."""
