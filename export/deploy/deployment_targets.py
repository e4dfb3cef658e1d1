"""Where a bundle is deployed: a Triton model repository, an InferenceService of KServe, a static web site."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.errors import InputError
from dashdeploy.export.artifact_settings import DEFAULT_STORAGE_URI, ArtifactSettings
from dashdeploy.export.deploy.kserve import check_storage_uri, write_kserve
from dashdeploy.export.deploy.triton import write_triton_repository
from dashdeploy.export.deploy.triton_config import messages
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.web.write_site import check_site, write_site
from dashdeploy.progress import Progress, silent


def check_deployment_targets(settings: ArtifactSettings, bundle: Path) -> None:
    """Find out before long work whether `write_deployment_targets` can do what is asked for, and all of it.

    Args:
        settings: the user's wishes.
        bundle: where the bundle is, or will be.

    Raises:
        InputError: a place cannot be written or is within the bundle, KServe does not know the storage, or a setting
            has no effect without another one.
        MissingCapabilityError: tritonclient or onnxruntime-web is not installed.
    """
    _refuse_without_effect(settings)
    repository, service = settings.triton_repository, settings.kserve
    if repository is not None:
        messages()
        if repository.exists() and not repository.is_dir():
            raise InputError(f"`triton_repository={repository}` is not a folder; name another one")
    if service is not None:
        check_storage_uri(settings.storage_uri)
        if service.is_dir() or not service.absolute().parent.is_dir():
            raise InputError(f"`kserve={service}`: name a file in a folder that is there")
    for parameter, place in (("triton_repository", repository), ("kserve", service), ("web", settings.web)):
        if place is not None and place.resolve().is_relative_to(bundle.resolve()):
            raise InputError(
                f"`{parameter}={place}` is within the bundle, which holds its own files only; name another place"
            )
    if settings.web is not None:
        check_site(settings.web)


def _refuse_without_effect(settings: ArtifactSettings) -> None:
    """Refuse a setting whose partner is missing: nothing of what is written would differ.

    Raises:
        InputError: there is one.
    """
    defaults, engine = EngineSettings(), settings.engine
    engines = settings.trt or settings.trt_rtx
    deployed = settings.triton_repository is not None or settings.kserve is not None
    without_effect = {
        "storage_uri": (settings.storage_uri != DEFAULT_STORAGE_URI and settings.kserve is None, "`kserve`"),
        "engine_batches": (
            engine.batches != defaults.batches and not (engines or deployed),
            "`trt`, `trt_rtx`, `triton_repository` or `kserve`",
        ),
        "compute_capabilities": (
            engine.compute_capabilities != defaults.compute_capabilities and not settings.trt_rtx,
            "`trt_rtx`",
        ),
    }
    for parameter, (useless, partner) in without_effect.items():
        if useless:
            raise InputError(f"`{parameter}` has no effect without {partner}; add that, or leave it out")


def write_deployment_targets(
    bundle: Bundle, settings: ArtifactSettings, progress: Progress = silent, *, name: str | None = None
) -> None:
    """Write what others are given: a Triton repository, an InferenceService of KServe, a static web site.

    Args:
        bundle: the finished bundle.
        settings: the user's wishes.
        progress: a function that gets a line for each step.
        name: what the model is called there; None takes the bundle's name. Whoever gives it vouches that a model
            of this name in the repository is the same one.

    Raises:
        InputError: something cannot be written; the bundle stays.
        GateError: a model does not say in the site's engine what it says here; the bundle stays.
    """
    if name is not None:
        bundle = replace(bundle, manifest=bundle.manifest.model_copy(update={"name": name}))
    if settings.triton_repository is not None:
        write_triton_repository(
            bundle,
            settings.triton_repository,
            settings.engine.batches,
            progress,
            named=name is not None,
            batches_given=settings.engine.batches_given,
        )
    if settings.kserve is not None:
        progress(f"writing {settings.kserve}")
        write_kserve(bundle, settings.kserve, settings.storage_uri, settings.engine.batches[2])
    if settings.web is not None:
        write_site(bundle, settings.web, progress)
