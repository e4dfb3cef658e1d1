"""The options of ``serve``: addresses, engines, batching, limits, access, and what is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashdeploy.cli.options.groups import OptionGroup
from dashdeploy.cli.options.values import positive_integers, version_policy
from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import EngineName

if TYPE_CHECKING:
    from dashdeploy.serve.settings import BatchPolicy, VersionPolicy

_MEBIBYTE = 1024 * 1024


class Addresses(OptionGroup, panel="Addresses"):
    """Where the server listens; the fields are those of `ServeSettings`."""

    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1"
    http_port: Annotated[
        int,
        typer.Option(
            "--http-port", min=0, max=65535, help="The HTTP port. 0 takes a free port and prints it."
        ),
    ] = 8000
    grpc_port: Annotated[
        int,
        typer.Option(
            "--grpc-port", min=0, max=65535, help="The gRPC port. 0 takes a free port and prints it."
        ),
    ] = 8001
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow a --host that other machines can reach.")
    ] = False
    grpc_reflection: Annotated[
        bool,
        typer.Option("--grpc-reflection", help="Let gRPC clients such as grpcurl list the services."),
    ] = False


class Models(OptionGroup, panel="Models"):
    """What runs the bundles; the fields are those of `ServeSettings`."""

    engine: Annotated[
        EngineName | None,
        typer.Option(
            "--engine",
            help="The engine that runs the bundles. The default is the engine that each was made for.",
        ),
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, help="The number of threads in one inference. By default the engine decides."
        ),
    ] = None
    instances: Annotated[
        int,
        typer.Option("--instances", min=1, max=64, help="The number of simultaneous runs of one model."),
    ] = 1
    reload_seconds: Annotated[
        float,
        typer.Option(
            "--reload-seconds", min=0, help="Seconds between two looks for replaced bundles; 0 never looks."
        ),
    ] = 1.0
    latest: Annotated[
        int | None,
        typer.Option("--latest", min=1, help="The same as --version-policy latest:N."),
    ] = None
    version_policy: Annotated[
        list[str] | None,
        typer.Option(
            "--version-policy",
            metavar="[MODEL=]POLICY",
            help="The versions to serve: all, latest:N or specific:N,N, for one model or for every model. "
            "You can repeat "
            "it.",
        ),
    ] = None
    allow_model_control: Annotated[
        bool, typer.Option("--allow-model-control", help="Let clients load and unload models.")
    ] = False

    def settings(self) -> dict[str, Any]:
        """The fields of `ServeSettings`.

        Raises:
            InputError: a version policy is wrong, or there are two for one model.
        """
        fields = self.values()
        texts = fields.pop("version_policy") or []
        latest = fields.pop("latest")
        if latest is not None:
            texts = [f"latest:{latest}", *texts]
        policies: dict[str, VersionPolicy] = {}
        for text in texts:
            name, policy = version_policy("--version-policy", text)
            if name in policies:
                raise InputError(
                    f"--version-policy {text}: there are two policies for {name or 'all models'}; keep one"
                    + (" (--latest is one)" if latest is not None and not name else "")
                )
            policies[name] = policy
        return {**fields, "version_policies": policies}


class Batching(OptionGroup, panel="Batching"):
    """How requests are put together."""

    max_batch: Annotated[
        int, typer.Option("--max-batch", min=1, help="The largest batch in rows; 1 switches batching off.")
    ] = 32
    batch_delay: Annotated[
        float,
        typer.Option(
            "--batch-delay",
            min=0,
            help="Milliseconds that a request waits for others. With 0 an idle engine runs at once.",
        ),
    ] = 0.0
    preferred_batches: Annotated[
        str | None,
        typer.Option("--preferred-batches", help="Batch sizes that run without the delay, such as 8,16."),
    ] = None
    measure_batches: Annotated[
        bool,
        typer.Option(
            "--measure-batches/--no-measure-batches",
            help="Measure the cost of a sample by batch size at the start, and form no batch in which it costs more.",
        ),
    ] = True
    queue_size: Annotated[
        int,
        typer.Option(
            "--queue-size",
            min=1,
            help="Places of each model, for waiting requests and running batches. When all are taken, a "
            "request gets 503.",
        ),
    ] = 256

    def policy(self) -> BatchPolicy:
        """The policy that is meant.

        Raises:
            InputError: a value is out of range.
        """
        from dashdeploy.serve.settings import LONGEST_DELAY, BatchPolicy

        # The library refuses it too, in seconds; here it is milliseconds.
        if not self.batch_delay <= LONGEST_DELAY * 1e3:
            raise InputError(
                f"--batch-delay {self.batch_delay:g}: use 0 to {LONGEST_DELAY * 1e3:g} milliseconds"
            )
        preferred = positive_integers("--preferred-batches", self.preferred_batches or "1", noun="batch size")
        return BatchPolicy(
            max_rows=self.max_batch,
            preferred=tuple(sorted(preferred)) if self.preferred_batches else (),
            delay=self.batch_delay / 1e3,
            queue_size=self.queue_size,
            measure=self.measure_batches,
        )


class Sequences(OptionGroup, panel="Sequences"):
    """The states that are kept for clients; the fields are those of `ServeSettings`."""

    max_sequences: Annotated[
        int,
        typer.Option(
            "--max-sequences",
            min=1,
            help="The largest number of live sequences of one model. Another one gets 503.",
        ),
    ] = 1024
    sequence_idle_seconds: Annotated[
        float,
        typer.Option(
            "--sequence-idle-seconds",
            min=0.001,
            help="Seconds after which a sequence without a request ends.",
        ),
    ] = 60.0


class Limits(OptionGroup, panel="Limits"):
    """What a client may ask for, and for how long."""

    request_timeout: Annotated[
        float,
        typer.Option(
            "--request-timeout",
            min=0.001,
            help="The most seconds from the arrival of a request to its answer.",
        ),
    ] = 30.0
    drain_seconds: Annotated[
        float,
        typer.Option("--drain-seconds", min=0, help="Seconds that accepted requests have after SIGTERM."),
    ] = 30.0
    body_limit: Annotated[
        int,
        typer.Option(
            "--body-limit", min=1, help="The largest size in MiB of an uncompressed request, and of a tensor."
        ),
    ] = 64

    def settings(self) -> dict[str, Any]:
        """The fields of `ServeSettings`."""
        return {
            "request_timeout": self.request_timeout,
            "drain_seconds": self.drain_seconds,
            "body_limit": self.body_limit * _MEBIBYTE,
        }


class Access(OptionGroup, panel="Access"):
    """Who may connect."""

    api_key_file: Annotated[
        Path | None,
        typer.Option(
            "--api-key-file",
            envvar="DASHDEPLOY_API_KEY_FILE",
            help="A file of keys, one in each line. A request needs one of them (Authorization: Bearer KEY).",
        ),
    ] = None
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            "--tls-certificate",
            envvar="DASHDEPLOY_TLS_CERTIFICATE",
            help="A PEM certificate. It switches TLS on.",
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key", envvar="DASHDEPLOY_TLS_KEY", help="The PEM private key of the certificate."
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The fields of `ServeSettings`.

        Raises:
            InputError: the file of the keys cannot be read.
        """
        from dashdeploy.serve.limits.api_keys import read_api_keys

        keys = frozenset() if self.api_key_file is None else read_api_keys(self.api_key_file)
        return {"api_keys": keys, "tls_certificate": self.tls_certificate, "tls_key": self.tls_key}


class Records(OptionGroup, panel="Records"):
    """What is written down of every request; the fields are those of `ServeSettings`."""

    access_log: Annotated[
        Path | None,
        typer.Option("--access-log", help="Append a JSON line for each request to this file; - is stdout."),
    ] = None
    traces: Annotated[
        str | None,
        typer.Option(
            "--traces",
            metavar="URL",
            envvar="DASHDEPLOY_TRACES",
            help="Send OpenTelemetry traces to this collector (OTLP over HTTP), such as http://127.0.0.1:4318.",
        ),
    ] = None
