"""The sequences that clients have begun: the states that the server keeps for each of them.

A sequence belongs to the loaded model that it began on, and keeps it loaded: where a new version takes over, or a
bundle is replaced, the sequence goes on with the old one until it ends. Its requests run one after the other in the
order in which they came; those of different sequences share batches like any others. A request that fails changes
nothing, so that it can be sent again.

Source of the rules and messages: Triton, "Stateful Models".
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from time import monotonic, perf_counter_ns

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import InferRequest, check_inputs
from dashdeploy.serve.protocol.sequences import (
    InterfaceOf,
    ModelInterface,
    SequenceControl,
    SequenceId,
    initial_states,
)
from dashdeploy.serve.repository.served_model import ServedModel
from dashdeploy.serve.scheduling.engine import Gone
from dashdeploy.serve.scheduling.turns import Turns
from dashdeploy.serve.settings import ServeSettings

_STATES_PER_BODY = 16
"""All states together may take as many bytes as this many requests of the greatest size."""


class _Sequence:
    """One sequence; `model` is None until its first request succeeded, and again after its last one."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.model: ServedModel | None = None
        self.states: dict[str, Array] = {}
        self.used_at = monotonic()

    @property
    def size(self) -> int:
        return sum(array.nbytes for array in self.states.values())


class LiveSequences:
    """The sequences of all models. Used on the event loop's thread; only `interfaces` may be asked elsewhere.

    Args:
        settings: the server's.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._limit = _STATES_PER_BODY * settings.body_limit
        self._live: OrderedDict[tuple[str, SequenceId], _Sequence] = OrderedDict()  # the longest unused first
        self._of_model: Counter[str] = Counter()
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._held = 0
        self._sweep: asyncio.TimerHandle | None = None
        self.expired: Counter[str] = Counter()

    def counts(self) -> Counter[tuple[str, str]]:
        """How many sequences each version of each model has."""
        return Counter(
            (sequence.model.name, sequence.model.version)
            for sequence in self._live.values()
            if sequence.model is not None
        )

    def interfaces(self, model: ServedModel, *, versioned: bool) -> InterfaceOf:
        """What the requests of sequences that ask for `model` are checked against.

        Args:
            model: the one that the request would run on if it belonged to no sequence.
            versioned: whether the client named the version.
        """

        def interface_of(control: SequenceControl) -> ModelInterface:
            home = model
            if not control.start:
                sequence = self._live.get((model.name, control.id))
                home = (sequence and sequence.model) or model
                # One that waits for the first request of its sequence is judged when that was answered.
                if sequence is None or (sequence.model is None and sequence.turns.idle):
                    self._refuse_stateless(model)
                    raise _no_start(model, control)
                _check_version(home, model, control, versioned=versioned)
            self._refuse_stateless(home)
            return home.interface

        return interface_of

    async def infer(
        self, model: ServedModel, request: InferRequest, *, versioned: bool, gone: Gone | None = None
    ) -> tuple[ServedModel, dict[str, Array]]:
        """Run one request of a sequence.

        Args:
            model: the one that the request asks for, which a sequence begins on.
            request: with its sequence, decoded by the interface that `interfaces` found.
            versioned: whether the client named the version.
            gone: as in `Engine.infer`.

        Returns:
            The model that ran, and one array per output.

        Raises:
            RequestError: 400 if the sequence has not begun or the inputs do not fit its states, 503 if there are too
                many sequences or requests, or the turn does not come in time; otherwise as `ServedModel.infer`.
        """
        control = request.sequence
        assert control is not None
        deadline, since_ns = monotonic() + model.granted(request.timeout), perf_counter_ns()
        sequence = self._joined(model, control)
        if not sequence.turns.idle:
            self._check_room(model)
        self._waiting[model.name, model.version] += 1
        try:
            await sequence.turns.take(model=model.name, timeout=deadline - monotonic(), gone=gone)
        except (RequestError, asyncio.CancelledError) as error:
            late = isinstance(error, RequestError) and error.status == 503
            model.statistics.count_failure("OTHER" if late else "CANCELED", perf_counter_ns() - since_ns)
            raise
        finally:
            self._waiting[model.name, model.version] -= 1
            self._drop_if_over(model.name, control.id, sequence)
        try:
            home = self._home(model, sequence, control, versioned=versioned)
            with home:
                limit = self._settings.body_limit
                states = sequence.states
                if control.start:
                    states = initial_states(home.interface, request.feeds, limit=limit)
                feeds = {**request.feeds, **states}
                _check_feeds(feeds, home.interface)
                results = await home.infer(
                    feeds, timeout=max(0.0, deadline - monotonic()), gone=gone, since_ns=since_ns
                )
                self._advance(sequence, home, control, results)
                return home, results
        finally:
            sequence.used_at = monotonic()
            sequence.turns.give_back()
            self._drop_if_over(model.name, control.id, sequence)

    def waiting(self, name: str, version: str) -> int:
        """How many requests of a version of a model wait for those of their sequences before them."""
        return self._waiting[name, version]

    def drop_model(self, name: str) -> None:
        """Free the sequences of a model that is not served any more."""
        for key, sequence in list(self._live.items()):
            if key[0] == name:
                self._free(key, sequence)

    def move(self, broken: ServedModel, fresh: ServedModel | None) -> None:
        """Let sequences go on with a model that was loaded again after its engine broke; free them without one."""
        for key, sequence in list(self._live.items()):
            if sequence.model is broken:
                if fresh is not None and fresh.interface == broken.interface:
                    self._settle(sequence, fresh)
                else:
                    self._free(key, sequence)

    def _joined(self, model: ServedModel, control: SequenceControl) -> _Sequence:
        """The sequence of a request, which is made if it begins one."""
        self._free_idle()
        key = (model.name, control.id)
        sequence = self._live.get(key)
        if sequence is None:
            if not control.start:
                raise _no_start(model, control)
            most = self._settings.max_sequences
            if self._of_model[model.name] >= most:
                model.statistics.count_failure("REJECTED")
                raise RequestError(
                    503,
                    f"model '{model.name}' has {most} live sequences, and no more than that; end one, or try again",
                    retry_after=1,
                )
            sequence = self._live[key] = _Sequence()
            self._of_model[model.name] += 1
            self._sweep_later()
        self._live.move_to_end(key)
        return sequence

    def _check_room(self, model: ServedModel) -> None:
        """Requests that wait for their turns take places of the queue, too."""
        if self._waiting[model.name, model.version] + model.waiting >= model.settings.batching.queue_size:
            raise model.refusal()

    @staticmethod
    def _home(
        model: ServedModel, sequence: _Sequence, control: SequenceControl, *, versioned: bool
    ) -> ServedModel:
        """The model that a request runs on, whose turn it is."""
        if control.start:
            return model
        if sequence.model is None:  # the request that was to begin it failed, or the one before ended it
            raise _no_start(model, control)
        _check_version(sequence.model, model, control, versioned=versioned)
        return sequence.model

    def _advance(
        self, sequence: _Sequence, home: ServedModel, control: SequenceControl, results: Mapping[str, Array]
    ) -> None:
        """Keep what the model gave as the states of the next request, or free them after the last one."""
        if control.end:
            self._hold(sequence, {})
            self._settle(sequence, None)
            return
        states = {}
        for name, next_name in home.states.items():
            array, spec = results[next_name], home.inputs[name]
            if not _fits(array, spec):
                raise RequestError(
                    500,
                    f"model '{home.name}' gave a state '{name}' of shape {list(array.shape)}, which it does not take",
                )
            states[name] = array.copy()  # it may be a few rows of a batch, which would stay in memory
        self._hold(sequence, states)
        self._settle(sequence, home)

    def _hold(self, sequence: _Sequence, states: dict[str, Array]) -> None:
        more = sum(array.nbytes for array in states.values()) - sequence.size
        if more > 0 and self._held + more > self._limit:
            raise RequestError(
                503,
                f"the server holds {self._held} bytes of states, and no more than {self._limit}; end a sequence, "
                "or try again",
                retry_after=1,
            )
        self._held += more
        sequence.states = states

    @staticmethod
    def _settle(sequence: _Sequence, home: ServedModel | None) -> None:
        """Keep the model of a sequence loaded, and no longer the one that it had."""
        if home is not None:
            home.lease()
        if sequence.model is not None:
            sequence.model.release()
        sequence.model = home

    def _free(self, key: tuple[str, SequenceId], sequence: _Sequence) -> None:
        self._hold(sequence, {})
        self._settle(sequence, None)
        self._drop_if_over(*key, sequence)

    def _drop_if_over(self, name: str, sequence_id: SequenceId, sequence: _Sequence) -> None:
        """Forget a sequence that did not begin or has ended, and that no request waits for."""
        if sequence.model is None and sequence.turns.idle and self._live.get((name, sequence_id)) is sequence:
            del self._live[name, sequence_id]
            self._of_model[name] -= 1

    def _free_idle(self) -> None:
        last = monotonic() - self._settings.sequence_idle_seconds
        for key, sequence in list(self._unused_since(last)):
            self.expired[key[0]] += 1
            self._free(key, sequence)

    def _unused_since(self, moment: float) -> Iterator[tuple[tuple[str, SequenceId], _Sequence]]:
        for key, sequence in self._live.items():
            if not sequence.turns.idle:
                continue
            if sequence.used_at > moment:
                return
            yield key, sequence

    def _sweep_later(self) -> None:
        """Free what is idle even if no request comes any more."""
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            seconds = max(0.05, self._settings.sequence_idle_seconds / 4)
            self._sweep = loop.call_later(seconds, self._sweep_now)

    def _sweep_now(self) -> None:
        self._sweep = None
        self._free_idle()
        if self._live:
            self._sweep_later()

    @staticmethod
    def _refuse_stateless(model: ServedModel) -> None:
        if not model.states:
            raise RequestError(
                400,
                f"model '{model.name}' keeps no state, so it has no sequences; leave out 'sequence_id'",
            )


def _no_start(model: ServedModel, control: SequenceControl) -> RequestError:
    return RequestError(
        400,
        f"inference request for sequence {control.id} to model '{model.name}' must specify the START flag on the "
        "first request of the sequence; this one has not begun, has ended, or was idle for too long",
    )


def _check_version(
    home: ServedModel, model: ServedModel, control: SequenceControl, *, versioned: bool
) -> None:
    if versioned and home.version != model.version:
        raise RequestError(
            400,
            f"sequence {control.id} of model '{model.name}' began on version {home.version}, not {model.version}",
        )


def _check_feeds(feeds: Mapping[str, Array], interface: ModelInterface) -> None:
    """Refuse inputs that do not fit the states, or that were decoded for another model of this name."""
    if set(feeds) != set(interface.inputs) or not all(
        _fits(array, interface.inputs[name]) for name, array in feeds.items()
    ):
        raise RequestError(
            400, f"the inputs do not fit the version of model '{interface.name}' that the sequence is on"
        )
    check_inputs(feeds, interface.inputs, interface.name)


def _fits(array: Array, spec: TensorSpec) -> bool:
    return (
        array.dtype == np.dtype(spec.dtype)
        and array.ndim == len(spec.shape)
        and all(
            isinstance(axis, str) or axis == length
            for axis, length in zip(spec.shape, array.shape, strict=True)
        )
    )
