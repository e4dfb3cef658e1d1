"""Writes KServe's InferenceService of a Triton repository, which Kubernetes runs and scales.

The fields are those of KServe's API serving.kserve.io/v1beta1 and of its runtime kserve-tritonserver; the classes
below refuse any other, so that no typo comes from here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.artifacts.bundle import MODEL_NAME, Bundle
from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.errors import InputError
from dashdeploy.export.artifact_settings import DEFAULT_STORAGE_URI
from dashdeploy.runtimes.tensorrt_flavors import TENSORRT

_NAME_LENGTH = 63  # of a DNS label, RFC 1123
_STORAGE = ("pvc://", "s3://", "gs://", "https://", "http://", "hdfs://", "webhdfs://", "oci://", "hf://")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelFormat(_Strict):
    """What the runtime is told about the model: a whole Triton repository."""

    name: Literal["triton"] = "triton"
    version: str = "2"


class Resources(_Strict):
    """Kubernetes' resources of a container."""

    requests: dict[str, str]
    limits: dict[str, str]


class ServedModel(_Strict):
    """``spec.predictor.model``."""

    modelFormat: ModelFormat = Field(default_factory=ModelFormat)  # noqa: N815 - KServe's own name
    runtime: Literal["kserve-tritonserver"] = "kserve-tritonserver"
    protocolVersion: Literal["v2"] = "v2"  # noqa: N815
    storageUri: str  # noqa: N815
    resources: Resources


class Predictor(_Strict):
    """``spec.predictor``."""

    minReplicas: int = 1  # noqa: N815
    maxReplicas: int = 4  # noqa: N815
    scaleMetric: Literal["concurrency", "rps", "cpu", "memory"] = "concurrency"  # noqa: N815
    scaleTarget: int = 32  # noqa: N815
    model: ServedModel


class Spec(_Strict):
    """``spec``."""

    predictor: Predictor


class Metadata(_Strict):
    """``metadata``."""

    name: str = Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=_NAME_LENGTH)
    annotations: dict[str, str]


class InferenceService(_Strict):
    """The whole resource."""

    apiVersion: Literal["serving.kserve.io/v1beta1"] = "serving.kserve.io/v1beta1"  # noqa: N815
    kind: Literal["InferenceService"] = "InferenceService"
    metadata: Metadata
    spec: Spec


def check_storage_uri(uri: str) -> str:
    """`uri`, where KServe's storage initializer knows it.

    Raises:
        InputError: it does not.
    """
    if not uri.startswith(_STORAGE):
        raise InputError(
            f"`storage_uri={uri}`: KServe reads {', '.join(_STORAGE)}; such as {DEFAULT_STORAGE_URI}"
        )
    return uri


def write_kserve(bundle: Bundle, path: Path, storage_uri: str, largest_batch: int) -> None:
    """Write the InferenceService of a bundle.

    Args:
        bundle: the bundle.
        path: the file; one that is there is replaced.
        storage_uri: where the cluster finds the Triton repository.
        largest_batch: of one call; how many requests a replica takes at once before another one starts.

    Raises:
        InputError: the file cannot be written.
    """
    resources = {"cpu": "1", "memory": "2Gi"}
    if bundle.file(TENSORRT.file_name) is not None:
        resources["nvidia.com/gpu"] = "1"
    service = InferenceService(
        metadata=Metadata(
            name=_dns_label(bundle.manifest.name),
            annotations={
                "dashdeploy/model": bundle.manifest.name,
                "dashdeploy/sha256": bundle.manifest.files[MODEL_NAME],
            },
        ),
        spec=Spec(
            predictor=Predictor(
                scaleTarget=largest_batch,
                model=ServedModel(
                    storageUri=check_storage_uri(storage_uri),
                    resources=Resources(requests=resources, limits=resources),
                ),
            )
        ),
    )
    write_text_atomically(path, yaml.safe_dump(service.model_dump(), sort_keys=False))


def read_kserve(path: Path) -> InferenceService:
    """Read an InferenceService that dashdeploy wrote.

    Raises:
        InputError: the file is not YAML, or has a field or a value that KServe does not know.
    """
    try:
        return InferenceService.model_validate(yaml.safe_load(path.read_bytes()))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}; write it again with `kserve`") from error
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}; write it again with `kserve`") from error


def _dns_label(name: str) -> str:
    """The model's name as Kubernetes takes it."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    label = label if label[:1].isalpha() else f"model-{label}"
    return label[:_NAME_LENGTH].rstrip("-")
