"""The models that engines are compared with: bundles as they are, and networks with a plan for every engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.common.checks import suggestion
from dashdeploy.bench.engines.candidates import (
    ENGINES,
    PROVIDER,
    TORCH,
    TORCH_FILES,
    missing,
    onnx_engine,
)
from dashdeploy.bench.latency.variants import DIRECT
from dashdeploy.bench.networks.measure import check_names, export_network
from dashdeploy.errors import DashdeployError, InputError
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.settings import ExportSettings
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.names import EngineName, TargetName

ALL = "all"


@dataclass(frozen=True)
class Model:
    """What is compared.

    Attributes:
        label: what the rows call it.
        bundle: where its direct model and its backbone come from.
        planned: by engine, the bundle whose compiled model is run there; others run that of `bundle`.
        refused: by engine, why the bundle is missing.
    """

    label: str
    bundle: Bundle
    planned: Mapping[str, Bundle]
    refused: Mapping[str, str]


def check_engines(engines: Sequence[str] | None) -> list[str]:
    """The engines that are meant, in the order of the table; all for None or ``all``.

    Raises:
        InputError: the engine does not exist.
    """
    if engines is None or ALL in engines:
        return list(ENGINES)
    for name in engines:
        if name not in ENGINES and not name.startswith(PROVIDER):
            raise InputError(f"engine {name}: no such engine; {suggestion(name, (*ENGINES, ALL))}")
    providers = [name for name in dict.fromkeys(engines) if name.startswith(PROVIDER)]
    return [*(name for name in ENGINES if name in engines), *providers]


def of_bundles(bundles: Sequence[Bundle]) -> list[Model]:
    """Bundles as models to compare: every engine runs the compiled model that the bundle has."""
    return [Model(bundle.manifest.name, bundle, {}, {}) for bundle in bundles]


@contextmanager
def of_networks(
    names: Sequence[str] | None,
    engines: Sequence[str] | None = None,
    *,
    threads: int = 1,
    batch: int = 1,
    progress: Progress = silent,
) -> Iterator[list[Model]]:
    """Networks of the list of `bench networks`, each compiled for each engine by a plan of its own.

    They lie in a folder that is gone afterwards.

    Args:
        names: of networks; None takes all.
        engines: some of `ENGINES`; None takes all that are here.
        threads: that the plans are for.
        batch: that the plans are for.
        progress: told in one line what is being done.

    Raises:
        InputError: the network or engine does not exist.
    """
    chosen, wanted = check_names(names), check_engines(engines)
    with TemporaryDirectory(prefix="dashdeploy-engines-") as folder:
        yield [_network(name, wanted, Path(folder) / name, threads, batch, progress) for name in chosen]


def _network(
    name: str, engines: Sequence[str], folder: Path, threads: int, batch: int, progress: Progress
) -> Model:
    folder.mkdir()
    planned: dict[str, Bundle] = {}
    refused: dict[str, str] = {}
    torch_files = ArtifactSettings(torchscript=EngineName.TORCHSCRIPT in engines, pt2=TORCH in engines)
    base = ExportSettings(threads=threads, batch=batch, artifacts=torch_files)
    bundle = export_network(name, folder / EngineName.ORT_CPU, base, progress=progress)
    for engine in engines:
        own_plan = engine not in (EngineName.ORT_CPU, *TORCH_FILES) and not engine.startswith(PROVIDER)
        if not own_plan or missing(engine) is not None:
            continue
        found, precision = onnx_engine(engine)
        settings = ExportSettings(
            target=TargetName(str(found.name)), threads=threads, batch=batch, precision=precision
        )
        progress(f"{name}: planning for {engine}")
        try:
            planned[engine] = export_network(name, folder / engine, settings, progress=progress)
        except DashdeployError as error:
            refused[engine] = str(error)
    if torch_files.any:
        direct = base.model_copy(update={"lowering": "direct"})
        planned[DIRECT] = export_network(name, folder / DIRECT, direct, progress=progress)
    return Model(name, bundle, planned, refused)
