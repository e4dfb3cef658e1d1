"""One version of a model as it is served: a verified bundle, its loaded engine, its statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dashdeploy.artifacts.bundle import SAMPLE_NAME, Bundle
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array, Runtime
from dashdeploy.runtimes.batch_axis import has_batch_axis, warm_up
from dashdeploy.runtimes.engines import engine_of, load_engine
from dashdeploy.serve.observability.statistics import ModelStatistics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.json_codec import decode_request
from dashdeploy.serve.protocol.sequences import ModelInterface
from dashdeploy.serve.scheduling.batch_curve import measure_curve
from dashdeploy.serve.scheduling.engine import Engine, Gone
from dashdeploy.serve.settings import ServeSettings

RuntimeLoader = Callable[[Bundle, ServeSettings], Runtime]
"""Loads a bundle's model on its engine."""


def load_runtime(bundle: Bundle, settings: ServeSettings) -> Runtime:
    """The engine that runs a bundle on this machine.

    Raises:
        InputError: the bundle lacks the engine's file, or the engine refuses it.
        MissingCapabilityError: the engine is not installed, or its device is not here.
    """
    return load_engine(bundle, settings.engine, threads=settings.threads)


class ServedModel:
    """One loaded version of a model.

    Attributes:
        name: the name by which clients call it.
        version: the bundle's version.
        kind: which engine runs it.
        inputs: the model's inputs by name, in order.
        outputs: the model's outputs by name, in order.
        states: the output that is the next value of each input that holds a state, by the input's name.
        interface: these four.
        sample: a request to try the model with, as JSON; None if the bundle has none.
        labels: class names by index; empty if the model is not a classifier.
        multi_label: whether a sample may have several of them.
        batched: whether requests may share a run.
        curve: what a sample costs by the batch; None if it was not measured.
        statistics: its counts since the server began.
        warm: whether the engine ran in the warm-up; a model that refuses zeros may still run on real inputs.
        broken: whether the engine fails on inputs that it ran on before; it is then being loaded again.
    """

    def __init__(
        self, bundle: Bundle, runtime: Runtime, settings: ServeSettings, *, statistics: ModelStatistics | None
    ) -> None:
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.path = bundle.path
        self.kind = engine_of(bundle, settings.engine)
        self.inputs = {spec.name: spec for spec in bundle.manifest.inputs}
        self.outputs = {spec.name: spec for spec in bundle.manifest.outputs}
        self.states = bundle.manifest.states
        self.interface = ModelInterface(self.name, self.inputs, self.outputs, self.states)
        self.labels = bundle.manifest.labels
        self.multi_label = bundle.manifest.multi_label
        sample = bundle.file(SAMPLE_NAME)
        self.sample = None if sample is None else sample.read_bytes()
        self.settings = settings
        self.statistics = statistics or ModelStatistics()
        self.broken = False
        self.on_broken: Callable[[], None] | None = None
        self._leases = 0
        self._retired = False
        probe = warm_up(runtime, bundle.manifest.inputs) or self._run_sample(runtime)
        self.warm = probe is not None
        may_batch = settings.batching.max_rows > 1 and self.warm
        manifest = bundle.manifest
        self.batched = may_batch and has_batch_axis(runtime, manifest.inputs, manifest.outputs, probe or {})
        batching = settings.batching
        self.curve = None
        if self.batched and batching.measure:
            self.curve = measure_curve(runtime, manifest.inputs, batching.max_rows, also=batching.preferred)
        self._engine = Engine(
            runtime,
            name=self.name,
            policy=settings.batching,
            batched=self.batched,
            instances=settings.instances,
            statistics=self.statistics,
            useful=None if self.curve is None else self.curve.useful_sizes(batching.max_rows),
            probe=probe,
            on_broken=self._break,
        )

    @classmethod
    def load(
        cls,
        path: Path,
        settings: ServeSettings,
        *,
        loader: RuntimeLoader = load_runtime,
        statistics: ModelStatistics | None = None,
    ) -> ServedModel:
        """Verify the bundle at `path`, load its model and warm it up.

        Args:
            path: the bundle.
            settings: the server's.
            loader: makes the engine.
            statistics: the counts to continue, if this version was served before.

        Raises:
            InputError: the bundle is damaged, its model does not load, or does not match the manifest.
            MissingCapabilityError: the engine is not installed.
        """
        bundle = Bundle.load(path)
        if not bundle.manifest.name or "/" in bundle.manifest.name:
            raise InputError(
                f"{path}: the model name {bundle.manifest.name!r} cannot be part of a URL; "
                "export the bundle again with `name`"
            )
        runtime = loader(bundle, settings)
        _check_tensors(path, "input", bundle.manifest.inputs, runtime.inputs)
        _check_tensors(path, "output", bundle.manifest.outputs, runtime.outputs)
        return cls(bundle, runtime, settings, statistics=statistics)

    @property
    def waiting(self) -> int:
        """How many requests wait for the engine."""
        return self._engine.waiting

    def check_admission(self) -> None:
        """Refuse a request before its body is read, if it would be refused after.

        Raises:
            RequestError: 503, the queue is full or the engine is broken.
        """
        if self.broken:
            raise self._not_ready()
        self._engine.check_room()

    def check_engine(self) -> None:
        """Raise if the engine is broken.

        Raises:
            RequestError: 503.
        """
        if self.broken:
            raise self._not_ready()

    async def infer(
        self,
        feeds: Mapping[str, Array],
        *,
        timeout: float | None = None,
        gone: Gone | None = None,
        since_ns: int | None = None,
    ) -> dict[str, Array]:
        """Run the model for one request, in a batch with others if they came together; see `Engine.infer`.

        Args:
            feeds: the checked inputs.
            timeout: seconds that the client grants; never more than the server's own limit.
            gone: as in `Engine.infer`.
            since_ns: likewise.
        """
        return await self._engine.infer(feeds, timeout=self.granted(timeout), gone=gone, since_ns=since_ns)

    def granted(self, timeout: float | None) -> float:
        """The seconds that a request has for its answer, of those that its client grants."""
        limit = self.settings.request_timeout
        return limit if timeout is None else min(timeout, limit)

    def refusal(self) -> RequestError:
        """The answer to a request for which the queue has no place; it is counted."""
        return self._engine.refusal()

    def __enter__(self) -> ServedModel:
        """Keep the engine until the request that uses it is answered."""
        self.lease()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def lease(self) -> None:
        """Keep the engine until `release` is called as often."""
        self._leases += 1

    def release(self) -> None:
        """End a lease."""
        self._leases -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """Stop serving; the engine ends after the last request that uses it."""
        self._retired = True
        self._close_if_unused()

    def _run_sample(self, runtime: Runtime) -> dict[str, Array] | None:
        """The inputs of the sample, if the model runs on them: there are models that do not run on zeros."""
        if self.sample is None:
            return None
        try:
            request = decode_request(
                self.sample, None, model=self.name, inputs=self.inputs, outputs=self.outputs
            )
            runtime.run(request.feeds)
        except Exception:  # every engine raises classes of its own; a sample is not a promise
            return None
        return request.feeds

    def _not_ready(self) -> RequestError:
        return RequestError(503, f"model '{self.name}' is not ready: its engine is restarted", retry_after=1)

    def _close_if_unused(self) -> None:
        if self._retired and self._leases == 0:
            self._engine.close()

    def _break(self) -> None:
        if not self.broken and self.on_broken is not None:
            self.broken = True
            self.on_broken()


def _check_tensors(
    path: Path, kind: str, manifest: Sequence[TensorSpec], model: Sequence[TensorSpec]
) -> None:
    declared, found = [{spec.name: spec.dtype for spec in specs} for specs in (manifest, model)]
    if declared != found:
        raise InputError(
            f"{path}: the manifest's {kind}s are {declared}, but the model's are {found}; export it again"
        )
    for name, dtype in declared.items():
        if dtype not in DATATYPE_BY_NUMPY_NAME:
            raise InputError(
                f"{path}: {kind} {name!r} is of type {dtype}, which is not served; "
                f"served are {', '.join(sorted(DATATYPE_BY_NUMPY_NAME))}"
            )
