"""The models that a server holds, by name and version, and how they follow the bundles on disk.

Each bundle has a place, found under the paths that were given. A bundle that changed on disk is loaded beside
the old one, warmed up, and takes its place between two requests; if it does not load, the old one stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashdeploy.errors import InputError
from dashdeploy.serve.observability.statistics import ModelStatistics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.repository.bundle_folders import find_bundles, fingerprint, peek
from dashdeploy.serve.repository.bundle_slots import Place, check_duplicates, wanted
from dashdeploy.serve.repository.served_model import RuntimeLoader, ServedModel, load_runtime
from dashdeploy.serve.settings import ServeSettings

_LOG = logging.getLogger(__name__)

_LONGEST_RESTART_WAIT = 60.0


class ModelRepository:
    """The served models. Used on the event loop's thread alone; only loading happens elsewhere.

    Args:
        paths: bundles, or folders of bundles.
        settings: the server's.
        loader: makes the engines.
    """

    def __init__(
        self, paths: Sequence[Path], settings: ServeSettings, *, loader: RuntimeLoader = load_runtime
    ) -> None:
        self._paths = list(paths)
        self._settings = settings
        self._loader = loader
        self._places: list[Place] = []
        self._statistics: dict[tuple[str, str], ModelStatistics] = {}
        self._models: dict[str, dict[str, ServedModel]] = {}
        self._loading = asyncio.Lock()
        self._restarts: set[asyncio.Task[None]] = set()

    async def load(self) -> None:
        """Load everything, once, before the server is ready.

        Raises:
            InputError: there is no bundle, one is damaged, or two hold one model in one version.
            MissingCapabilityError: the engine is not installed.
        """
        if not self._paths:
            raise InputError("no bundle to serve; name at least one")
        async with self._loading:
            self._places = [Place(path) for path in find_bundles(self._paths)]
            for place in self._places:
                place.seen = fingerprint(place.path)
                place.name, place.version = peek(place.path)
            check_duplicates(self._places)
            for place in self._wanted():
                await self._fill(place)

    async def refresh(self) -> None:
        """Look at the disk once: load new and changed bundles, let go of versions that the policy drops."""
        async with self._loading:
            for place in await asyncio.to_thread(self._look):
                try:
                    place.name, place.version = peek(place.path)
                    check_duplicates(self._places)
                    if place in self._wanted():
                        await self._fill(place)
                except Exception as error:  # an engine may raise anything; the old version goes on
                    self._note_failure(place, error)
            wanted = self._wanted()
            for place in self._places:
                try:
                    if place in wanted and place.model is None and not place.reason:
                        await self._fill(place)
                except Exception as error:
                    self._note_failure(place, error)
            for place in self._places:
                if place.model is not None and place not in wanted:
                    self._put(place, None)

    async def watch(self) -> None:
        """Call `refresh` again and again, until cancelled."""
        said = ""
        while True:
            await asyncio.sleep(self._settings.reload_seconds)
            try:
                await self.refresh()
                said = ""
            except Exception as error:  # a path that was given is gone, say: what is loaded goes on
                if said != str(error):
                    _LOG.error("cannot look for new bundles: %s", error)
                said = str(error)

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """The model `name`: the version asked for, else the highest that is served.

        Raises:
            RequestError: 404 for an unknown model or version, 400 for a version that is no number.
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

    def versions(self, name: str) -> list[ServedModel]:
        """Every served version of a model, the highest first.

        Raises:
            RequestError: 404, the model is unknown.
        """
        self.find(name)
        return list(self._models[name].values())

    def select(self, name: str | None, version: str | None) -> list[ServedModel]:
        """Every served model, every version of one, or one version: as much as is named.

        Raises:
            RequestError: as `find`.
        """
        if not name:
            return list(self)
        return [self.find(name, version)] if version else self.versions(name)

    def __iter__(self) -> Iterator[ServedModel]:
        """Every served version of every model."""
        for versions in self._models.values():
            yield from versions.values()

    @property
    def places(self) -> Sequence[Place]:
        """Every bundle that was found."""
        return self._places

    async def load_model(self, name: str) -> None:
        """Load every version of a model that was unloaded, and changed bundles anew.

        Raises:
            RequestError: 404 for an unknown model, 400 if it does not load.
        """
        self._check_control()
        async with self._loading:
            places = self._places_of(name)
            for place in places:
                place.unloaded = False
            for place in places:
                if place in self._wanted():
                    try:
                        await self._fill(place)
                    except Exception as error:
                        self._note_failure(place, error)
                        raise RequestError(400, f"failed to load '{name}': {place.reason}") from error

    async def unload_model(self, name: str) -> None:
        """Stop serving every version of a model; requests under way are still answered.

        Raises:
            RequestError: 404, the model is unknown.
        """
        self._check_control()
        async with self._loading:
            for place in self._places_of(name):
                place.unloaded = True
                self._put(place, None)

    def _check_control(self) -> None:
        if not self._settings.allow_model_control:
            raise RequestError(
                503,
                "explicit model load / unload is not allowed; start the server with --allow-model-control",
            )

    def _places_of(self, name: str) -> list[Place]:
        places = [place for place in self._places if place.name == name]
        if not places:
            raise RequestError(404, f"Request for unknown model: '{name}' is not found")
        return places

    def _look(self) -> list[Place]:
        """The places whose content is not what was seen last, newly found ones included."""
        known = {place.path for place in self._places}
        self._places += [Place(path) for path in find_bundles(self._paths) if path not in known]
        changed = []
        for place in self._places:
            now = fingerprint(place.path)
            # A folder that is not there may be about to be replaced; until then the old content is served.
            if now and now != place.seen:
                place.seen = now
                changed.append(place)
        return changed

    def _wanted(self) -> list[Place]:
        return wanted(self._places, latest=self._settings.latest_versions)

    async def _fill(self, place: Place, *, must_be_warm: bool = False) -> None:
        """Load what is at a place, and serve it instead of what was served from there.

        Raises:
            DashdeployError: it does not load, or does not run although it must.
        """
        statistics = self._statistics.setdefault((place.name, place.version), ModelStatistics())
        model = await asyncio.to_thread(
            ServedModel.load, place.path, self._settings, loader=self._loader, statistics=statistics
        )
        if (model.name, model.version) != (place.name, place.version):
            model.retire()
            raise InputError(f"{place.path}: the bundle changed while it was read")
        if must_be_warm and not model.warm:
            model.retire()
            raise InputError(f"{place.path}: the engine was loaded, but does not run")
        model.on_broken = lambda: self._restart_soon(place, model)
        replaced = place.model is not None
        place.reason = ""
        self._put(place, model)
        if replaced:
            place.reloads += 1
            _LOG.info("model %s: version %s was loaded from %s", model.name, model.version, place.path)

    def _put(self, place: Place, model: ServedModel | None) -> None:
        old, place.model = place.model, model
        self._models = {}
        served = [place.model for place in self._places if place.model is not None]
        for each in sorted(served, key=lambda each: int(each.version), reverse=True):
            self._models.setdefault(each.name, {})[each.version] = each
        if old is not None:
            old.retire()

    def _note_failure(self, place: Place, error: Exception) -> None:
        place.failures += 1
        place.reason = " ".join(str(error).split()) or type(error).__name__
        goes_on = f"; version {place.model.version} goes on" if place.model is not None else ""
        if place.model is not None:
            place.name, place.version = place.model.name, place.model.version
        _LOG.error("model %s: the new bundle was not loaded: %s%s", place.name, place.reason, goes_on)

    def _restart_soon(self, place: Place, broken: ServedModel) -> None:
        task = asyncio.get_running_loop().create_task(self._restart(place, broken))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self, place: Place, broken: ServedModel) -> None:
        """Load a broken engine anew, waiting longer after every try that failed."""
        wait = 0.5
        while place.model is broken:
            async with self._loading:
                try:
                    if place.model is broken:
                        await self._fill(place, must_be_warm=True)
                        _LOG.warning("model %s: the engine was restarted", broken.name)
                        return
                except Exception as error:
                    self._note_failure(place, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_RESTART_WAIT)
