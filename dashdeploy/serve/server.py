"""The server's life: load, bind, serve, drain, return."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dashdeploy.errors import InputError, MissingCapabilityError

if TYPE_CHECKING:
    import uvicorn

_DRAIN_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048


def serve(
    bundles: Sequence[Path], *, host: str = "127.0.0.1", http_port: int = 8000, threads: int | None = None
) -> None:
    """Serve bundles over HTTP until SIGINT or SIGTERM, then answer what was accepted and return.

    Call it from the main thread: it handles the two signals. Every bundle is verified and loaded before the
    port is bound. One line on stderr tells when the server is ready, and at which URL. A second signal cuts
    the drain short.

    Args:
        bundles: the bundles' folders; their models' names must differ.
        host: the address to listen on.
        http_port: the port to listen on; 0 takes any free one.
        threads: threads within one operator of a model; None leaves the choice to the engine.

    Raises:
        InputError: a bundle is missing, damaged or a duplicate; the address cannot be bound.
        MissingCapabilityError: a package of the ``serve`` extra, or the engine, is not installed.
    """
    try:
        import orjson  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingCapabilityError(
            f"{error.name} is not installed; install it with: pip install 'dashdeploy[serve]'"
        ) from error
    from dashdeploy.serve.app import InferenceApp
    from dashdeploy.serve.http_protocol import HttpProtocol
    from dashdeploy.serve.models import ModelRepository

    repository = ModelRepository.load(bundles, threads=threads)
    listener = _bind(host, http_port)
    with listener, ThreadPoolExecutor(_workers(), thread_name_prefix="infer") as executor:
        app = InferenceApp(repository, executor)
        config = uvicorn.Config(
            app.asgi(),
            http=HttpProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            backlog=_BACKLOG,
        )
        server = _server_without_signal_handlers(config)

        def stop() -> None:
            app.ready = False
            server.force_exit = server.should_exit
            server.should_exit = True

        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_run(server, listener, stop, _url(host, listener)))


async def _run(server: uvicorn.Server, listener: socket.socket, stop: Callable[[], None], url: str) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    # The socket listens already, so whoever reads this line and connects is answered.
    print(f"dashdeploy is ready at {url} (stop with Ctrl-C or SIGTERM)", file=sys.stderr, flush=True)
    await server.serve(sockets=[listener])


def _server_without_signal_handlers(config: uvicorn.Config) -> uvicorn.Server:
    """A uvicorn server that leaves the signals to us: its own handlers raise them again after the drain."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(config)


def _bind(host: str, port: int) -> socket.socket:
    """A socket that listens at the address.

    Raises:
        InputError: the port is out of range, in use or forbidden, or the host is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"--http-port {port}: not a port; use 1 to 65535, or 0 for any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InputError(
            f"--host {host}: not an address of this machine: {error.strerror or error}"
        ) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(_bind_refusal(host, port, error)) from error
    return listener


def _bind_refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"--http-port {port}: already in use on {host}; choose another port, or 0 for any free one"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"--http-port {port}: not permitted; choose a port from 1024 up"
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"--host {host}: not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its addresses"
        )
    return f"--host {host} --http-port {port}: cannot listen: {error.strerror or error}"


def _url(host: str, listener: socket.socket) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def _workers() -> int:
    # One inference per core keeps the cores busy; one more decodes and encodes meanwhile.
    return (os.cpu_count() or 1) + 1
