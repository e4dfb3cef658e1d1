"""The models that a server holds, by name and version, and how they follow the bundles on disk.

Each bundle that is found under the given paths has a slot. A bundle that changed on disk is loaded and warmed up
while the old one is served, and replaces it between two requests. If it does not load, the old one stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.observability.statistics import ModelStatistics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import InferRequest
from dashdeploy.serve.repository.bundle_folders import find_bundles, fingerprint, read_name_and_version
from dashdeploy.serve.repository.bundle_slots import BundleSlot, check_duplicates
from dashdeploy.serve.repository.live_sequences import LiveSequences
from dashdeploy.serve.repository.served_model import RuntimeLoader, ServedModel, load_runtime
from dashdeploy.serve.repository.version_policies import (
    check_selection,
    from_config,
    policy_of,
    selected_slots,
)
from dashdeploy.serve.scheduling.engine import Gone
from dashdeploy.serve.settings import EVERY_MODEL, ServeSettings, VersionPolicy

_LOG = logging.getLogger(__name__)

_LONGEST_RESTART_WAIT = 60.0


class ModelRepository:
    """The served models. Used on the event loop's thread alone; only loading happens elsewhere.

    Args:
        paths: bundles, or folders of bundles.
        settings: the server's.
        loader: makes the engines.

    Attributes:
        sequences: those that clients have begun.
        on_change: called whenever a model is served, is not served any more, or breaks.
    """

    def __init__(
        self, paths: Sequence[Path], settings: ServeSettings, *, loader: RuntimeLoader = load_runtime
    ) -> None:
        self._paths = list(paths)
        self._settings = settings
        self._loader = loader
        self._slots: list[BundleSlot] = []
        self._statistics: dict[tuple[str, str], ModelStatistics] = {}
        self._loaded_with: dict[str, VersionPolicy] = {}
        self._models: dict[str, dict[str, ServedModel]] = {}
        self._loading = asyncio.Lock()
        self._restarts: set[asyncio.Task[None]] = set()
        self.sequences = LiveSequences(settings)
        self.on_change: Callable[[], None] = lambda: None

    async def load(self) -> None:
        """Load everything, once, before the server is ready.

        Raises:
            InputError: a bundle is missing or damaged, or two hold one model in one version.
            MissingCapabilityError: the engine is not installed.
        """
        if not self._paths:
            raise InputError("no bundle to serve; name at least one")
        async with self._loading:
            self._slots = [BundleSlot(path) for path in find_bundles(self._paths)]
            for slot in self._slots:
                slot.seen = fingerprint(slot.path)
                slot.name, slot.version = read_name_and_version(slot.path)
            check_duplicates(self._slots)
            named = [name for name in self._settings.version_policies if name != EVERY_MODEL]
            check_selection(self._slots, self.policy, named)
            for slot in self._selected():
                await self._load_into(slot)

    async def refresh(self) -> None:
        """Scan the disk once: load new and changed bundles, retire versions that the version policy drops."""
        async with self._loading:
            for slot in await asyncio.to_thread(self._changed_slots):
                try:
                    slot.name, slot.version = read_name_and_version(slot.path)
                    check_duplicates(self._slots)
                    if slot in self._selected():
                        await self._load_into(slot)
                except Exception as error:  # an engine may raise anything; the old version is still served
                    self._note_failure(slot, error)
            selected = self._selected()
            for slot in self._slots:
                try:
                    if slot in selected and slot.model is None and not slot.reason:
                        await self._load_into(slot)
                except Exception as error:
                    self._note_failure(slot, error)
            for slot in self._slots:
                if slot.model is not None and slot not in selected:
                    self._replace(slot, None)

    async def watch(self) -> None:
        """Call `refresh` again and again, until cancelled."""
        reported = ""
        while True:
            await asyncio.sleep(self._settings.reload_seconds)
            try:
                await self.refresh()
                reported = ""
            except Exception as error:  # a given path may be gone; what is loaded is still served
                if reported != str(error):
                    _LOG.error("cannot look for new bundles: %s", error)
                reported = str(error)

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """The model `name` in the given version, or in the highest that is served.

        Raises:
            RequestError: 404 for an unknown model or version, 400 for a version that is not a number.
        """
        versions = self._models.get(name)
        if versions is None:
            raise RequestError(404, f"Request for unknown model: '{name}' is not found")
        if not version:
            return next(iter(versions.values()))
        model = versions.get(version)
        if model is None:
            if not (version.isascii() and version.isdigit()):
                raise RequestError(400, f"model version '{version}' is not a positive integer")
            raise RequestError(
                404,
                f"Request for unknown model: '{name}' version {version} is not found; "
                f"it has {', '.join(versions)}",
            )
        return model

    async def infer(
        self, model: ServedModel, request: InferRequest, *, versioned: bool, gone: Gone | None = None
    ) -> tuple[ServedModel, dict[str, Array]]:
        """Run a decoded request on `model`, or on the one that its sequence began on.

        Raises:
            RequestError: as `ServedModel.infer` and `LiveSequences.infer`.
        """
        if request.sequence is not None:
            return await self.sequences.infer(model, request, versioned=versioned, gone=gone)
        return model, await model.infer(request.feeds, timeout=request.timeout, gone=gone)

    def versions(self, name: str) -> list[ServedModel]:
        """Every served version of a model, the highest first.

        Raises:
            RequestError: 404, the model is unknown.
        """
        self.find(name)
        return list(self._models[name].values())

    def select(self, name: str | None, version: str | None) -> list[ServedModel]:
        """Every served model, every version of the named one, or one version of it, to ask for their statistics.

        Raises:
            RequestError: 400, an unknown model or version, as in Triton.
        """
        if not name:
            return list(self)
        try:
            return [self.find(name, version)] if version else self.versions(name)
        except RequestError as error:
            raise RequestError(400, error.message) from error

    def __iter__(self) -> Iterator[ServedModel]:
        """Every served version of every model."""
        for versions in self._models.values():
            yield from versions.values()

    @property
    def bundle_slots(self) -> Sequence[BundleSlot]:
        """The slots of every bundle that was found."""
        return self._slots

    def policy(self, name: str) -> VersionPolicy:
        """Which versions of a model are served."""
        return self._loaded_with.get(name) or policy_of(self._settings.version_policies, name)

    async def load_model(self, name: str, parameters: Mapping[str, object] | None = None) -> None:
        """Load every version of a model that its policy selects, and retire the others.

        Args:
            name: the model's name.
            parameters: of the request. ``config`` is a configuration whose version policy holds until the model is
                loaded again, as in Triton; without it the server's own policy holds.

        Raises:
            RequestError: 404 for an unknown model, 400 if it does not load or the policy selects no version.
        """
        self._check_control()
        async with self._loading:
            slots = self._slots_of(name)
            policy = self._policy_of_request(name, parameters or {}, [int(slot.version) for slot in slots])
            before, self._loaded_with[name] = self._loaded_with.get(name), policy
            for slot in slots:
                slot.unloaded = False
            selected = self._selected()
            # The others are served until what takes their place is ready.
            for slot in slots:
                if slot in selected:
                    try:
                        await self._load_into(slot)
                    except Exception as error:
                        self._note_failure(slot, error)
                        if before is not None:
                            self._loaded_with[name] = before
                        raise RequestError(400, f"failed to load '{name}': {slot.reason}") from error
            for slot in slots:
                if slot.model is not None and slot not in selected:
                    self._replace(slot, None)

    def _policy_of_request(
        self, name: str, parameters: Mapping[str, object], versions: Sequence[int]
    ) -> VersionPolicy:
        """The version policy with which a client loads a model that has these `versions`."""
        unknown = sorted(set(parameters) - {"config"})
        if unknown:
            raise RequestError(400, f"failed to load '{name}': the parameter '{unknown[0]}' is not supported")
        config = parameters.get("config")
        if config is None:
            policy = policy_of(self._settings.version_policies, name)
        else:
            policy = from_config(config if isinstance(config, str) else "", name)
        if not policy.select(versions):
            there = ", ".join(map(str, sorted(versions)))
            raise RequestError(400, f"failed to load '{name}': the version policy selects none of {there}")
        return policy

    async def unload_model(self, name: str) -> None:
        """Stop serving every version of a model; requests under way are still answered.

        Raises:
            RequestError: 404, the model is unknown.
        """
        self._check_control()
        async with self._loading:
            for slot in self._slots_of(name):
                slot.unloaded = True
                self._replace(slot, None)
            self.sequences.drop_model(name)

    def _check_control(self) -> None:
        if not self._settings.allow_model_control:
            raise RequestError(
                503,
                "explicit model load / unload is not allowed; start the server with `allow_model_control=True`",
            )

    def _slots_of(self, name: str) -> list[BundleSlot]:
        slots = [slot for slot in self._slots if slot.name == name]
        if not slots:
            raise RequestError(404, f"Request for unknown model: '{name}' is not found")
        return slots

    def _changed_slots(self) -> list[BundleSlot]:
        """The slots whose content changed since it was last seen, newly found ones included."""
        known = {slot.path for slot in self._slots}
        self._slots += [BundleSlot(path) for path in find_bundles(self._paths) if path not in known]
        changed = []
        for slot in self._slots:
            now = fingerprint(slot.path)
            # A folder that is not there may be about to be replaced; until then the old content is served.
            if now and now != slot.seen:
                slot.seen = now
                changed.append(slot)
        return changed

    def _selected(self) -> list[BundleSlot]:
        return selected_slots(self._slots, self.policy)

    async def _load_into(self, slot: BundleSlot, *, must_be_warm: bool = False) -> None:
        """Load the content of a slot's folder, and serve it instead of the slot's present model.

        Raises:
            DashdeployError: it does not load, or it must be warm and does not run.
        """
        statistics = self._statistics.setdefault((slot.name, slot.version), ModelStatistics())
        model = await asyncio.to_thread(
            ServedModel.load, slot.path, self._settings, loader=self._loader, statistics=statistics
        )
        if (model.name, model.version) != (slot.name, slot.version):
            model.retire()
            raise InputError(f"{slot.path}: the bundle changed while it was read")
        if must_be_warm and not model.warm:
            model.retire()
            raise InputError(f"{slot.path}: the engine was loaded, but does not run")
        model.on_broken = lambda: self._restart_soon(slot, model)
        replaced = slot.model is not None
        slot.reason = ""
        self._replace(slot, model)
        if replaced:
            slot.reloads += 1
            _LOG.info("model %s: version %s was loaded from %s", model.name, model.version, slot.path)

    def _replace(self, slot: BundleSlot, model: ServedModel | None) -> None:
        old, slot.model = slot.model, model
        self._models = {}
        served = [slot.model for slot in self._slots if slot.model is not None]
        for each in sorted(served, key=lambda each: int(each.version), reverse=True):
            self._models.setdefault(each.name, {})[each.version] = each
        if old is not None:
            old.retire()
        self.on_change()

    def _note_failure(self, slot: BundleSlot, error: Exception) -> None:
        slot.failures += 1
        slot.reason = " ".join(str(error).split()) or type(error).__name__
        goes_on = f"; version {slot.model.version} goes on" if slot.model is not None else ""
        if slot.model is not None:
            slot.name, slot.version = slot.model.name, slot.model.version
        _LOG.error("model %s: the new bundle was not loaded: %s%s", slot.name, slot.reason, goes_on)

    def _restart_soon(self, slot: BundleSlot, broken: ServedModel) -> None:
        self.on_change()
        if slot.model is not broken:  # it is loaded for the sequences that began on it alone
            self.sequences.move(broken, None)
            return
        task = asyncio.get_running_loop().create_task(self._restart(slot, broken))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self, slot: BundleSlot, broken: ServedModel) -> None:
        """Load a broken engine anew, waiting longer after every try that failed."""
        wait = 0.5
        while slot.model is broken:
            async with self._loading:
                try:
                    if slot.model is broken:
                        await self._load_into(slot, must_be_warm=True)
                        self.sequences.move(broken, slot.model)
                        _LOG.warning("model %s: the engine was restarted", broken.name)
                        return
                except Exception as error:
                    self._note_failure(slot, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RESTART_WAIT)
