"""The server's life: load, bind, serve, drain, return."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.serve.settings import ServeSettings

if TYPE_CHECKING:
    import uvicorn

    from dashdeploy.serve.grpc.server import GrpcServer
    from dashdeploy.serve.http.inference import HttpInference
    from dashdeploy.serve.limits.api_keys import ApiKeys
    from dashdeploy.serve.observability.logs import AccessLog
    from dashdeploy.serve.observability.tracing import Tracing
    from dashdeploy.serve.repository.model_repository import ModelRepository
    from dashdeploy.serve.repository.readiness import Readiness
    from dashdeploy.serve.repository.served_model import RuntimeLoader

_KEEP_ALIVE_SECONDS = 75

_SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter when another wants it. An engine's thread that has its batch done
waits for that, and Python's 5 ms are longer than most inferences."""


def serve(
    bundles: Sequence[Path],
    settings: ServeSettings | None = None,
    *,
    loader: RuntimeLoader | None = None,
) -> None:
    """Serve bundles until SIGINT or SIGTERM, then answer what was accepted and return.

    Call it from the main thread: it handles the two signals. Every bundle is verified, loaded and warmed up
    before a port is bound. One line on stderr tells when the server is ready, and where. A second signal cuts
    the drain short.

    Args:
        bundles: the bundles' folders, or folders of bundles.
        settings: addresses, batching, limits and access; None takes the defaults.
        loader: makes a bundle's engine; None takes the one that the bundle was made for.

    Raises:
        InputError: a bundle is missing, damaged or a duplicate; an address cannot be bound; a file of TLS or
            of API keys is wrong.
        MissingCapabilityError: a package of the ``serve`` extra, or the engine, is not installed.
    """
    # grpcio would write to stderr as well; what matters reaches us as exceptions.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        import grpc  # noqa: F401
        import grpc_health  # noqa: F401
        import orjson  # noqa: F401
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingCapabilityError(
            f"{error.name} is not installed; install it with: pip install 'dashdeploy[serve]'"
        ) from error
    settings = settings or ServeSettings()
    sys.setswitchinterval(_SWITCH_SECONDS)
    from dashdeploy.serve.observability.logs import log_events

    log_events()
    loop_factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_Server(bundles, settings, loader).run())


class _Server:
    """One call of `serve`, from start to end."""

    def __init__(
        self, bundles: Sequence[Path], settings: ServeSettings, loader: RuntimeLoader | None
    ) -> None:
        self._bundles = bundles
        self._settings = settings
        self._loader = loader

    async def run(self) -> None:
        """Load, bind, serve, drain."""
        from dashdeploy.serve.grpc.health import HealthService
        from dashdeploy.serve.grpc.server import GrpcServer
        from dashdeploy.serve.grpc.service import InferenceService
        from dashdeploy.serve.http.inference import HttpInference
        from dashdeploy.serve.limits.api_keys import ApiKeys
        from dashdeploy.serve.limits.memory_budget import BODIES, MemoryBudget
        from dashdeploy.serve.listening import bind, check_host, check_tls
        from dashdeploy.serve.observability.logs import AccessLog
        from dashdeploy.serve.observability.tracing import Tracing
        from dashdeploy.serve.repository.model_repository import ModelRepository
        from dashdeploy.serve.repository.readiness import Readiness
        from dashdeploy.serve.repository.served_model import load_runtime

        settings = self._settings
        check_host(settings.host, allow_remote=settings.allow_remote)
        tls = check_tls(settings.tls_certificate, settings.tls_key)
        log = AccessLog(settings.access_log)
        tracing = None if settings.traces is None else Tracing(settings.traces)
        repository = ModelRepository(self._bundles, settings, loader=self._loader or load_runtime)
        await repository.load()
        readiness = Readiness(repository)
        listener = bind(settings.host, settings.http_port, parameter="http_port")
        keys = ApiKeys(settings.api_keys)
        budget = MemoryBudget(BODIES * settings.body_limit)
        with listener, ThreadPoolExecutor(_workers(), thread_name_prefix="codec") as executor:
            service = InferenceService(
                repository, readiness, keys, log, budget, body_limit=settings.body_limit, tracing=tracing
            )
            grpc_server = GrpcServer(service, HealthService(repository, readiness), settings)
            grpc_port = grpc_server.bind()
            http = self._http_server(
                repository,
                readiness,
                HttpInference(repository, executor, budget, settings),
                keys,
                log,
                tracing,
            )
            self._handle_signals(readiness, http)
            watch = asyncio.create_task(repository.watch()) if settings.reload_seconds else None
            await grpc_server.start()
            self._announce(listener.getsockname()[1], grpc_port, tls=tls)
            drained = asyncio.create_task(self._stop_when_draining(readiness, grpc_server))
            try:
                await http.serve(sockets=[listener])
                await drained
            finally:
                if watch is not None:
                    watch.cancel()
                    with suppress(asyncio.CancelledError):
                        await watch
                if tracing is not None:
                    await asyncio.to_thread(tracing.close)

    def _http_server(
        self,
        repository: ModelRepository,
        readiness: Readiness,
        inference: HttpInference,
        keys: ApiKeys,
        log: AccessLog,
        tracing: Tracing | None,
    ) -> uvicorn.Server:
        import uvicorn

        from dashdeploy.serve.http.app import InferenceApp
        from dashdeploy.serve.http.middleware import RequestMiddleware
        from dashdeploy.serve.http.uvicorn_protocol import HttpProtocol
        from dashdeploy.serve.listening import BACKLOG

        settings = self._settings
        routes = InferenceApp(repository, readiness, inference).asgi()
        app = RequestMiddleware(routes, keys, log, tracing)
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            ssl_certfile=settings.tls_certificate,
            ssl_keyfile=settings.tls_key,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=round(settings.drain_seconds),
            backlog=BACKLOG,
        )
        return _server_without_signal_handlers(config)

    async def _stop_when_draining(self, readiness: Readiness, grpc_server: GrpcServer) -> None:
        await readiness.drain_begins.wait()
        await grpc_server.stop(self._settings.drain_seconds)

    def _handle_signals(self, readiness: Readiness, http: uvicorn.Server) -> None:
        def stop() -> None:
            readiness.drain()
            http.force_exit = http.should_exit
            http.should_exit = True

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)

    def _announce(self, http_port: int, grpc_port: int, *, tls: bool) -> None:
        from dashdeploy.serve.listening import address_of

        host, secure = self._settings.host, "s" if tls else ""
        # Both sockets listen already, so whoever reads this line and connects is answered.
        line = (
            f"dashdeploy is ready at http{secure}://{address_of(host, http_port)} and "
            f"grpc{secure}://{address_of(host, grpc_port)} (stop with Ctrl-C or SIGTERM)"
        )
        print(line, file=sys.stderr, flush=True)


def _server_without_signal_handlers(config: uvicorn.Config) -> uvicorn.Server:
    """A uvicorn server without signal handlers, because uvicorn's raise the signals again after the drain."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(config)


def _workers() -> int:
    # Decoding and encoding hold the interpreter for most of their time, so more threads would gain nothing.
    return (os.cpu_count() or 1) + 1
