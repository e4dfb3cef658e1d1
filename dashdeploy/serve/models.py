"""The models a server holds: bundles that were verified and loaded, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from dashdeploy.bundle import MODEL_NAME, Bundle
from dashdeploy.errors import InputError
from dashdeploy.runtimes import OnnxRuntime, Runtime
from dashdeploy.runtimes.base import Array
from dashdeploy.serve.datatypes import DATATYPE_BY_NUMPY_NAME
from dashdeploy.serve.request_error import RequestError
from dashdeploy.tensor_spec import TensorSpec


class ServedModel:
    """One loaded model.

    Attributes:
        name: the name that clients ask for.
        version: the bundle's version.
        platform: Triton's name of the engine.
        inputs: the model's inputs by name, in order.
        outputs: the model's outputs by name, in order.
    """

    platform = "onnxruntime_onnx"

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.inputs = {spec.name: spec for spec in bundle.manifest.inputs}
        self.outputs = {spec.name: spec for spec in bundle.manifest.outputs}
        self._runtime = runtime

    @classmethod
    def load(cls, path: Path, *, threads: int | None) -> ServedModel:
        """Verify the bundle at `path`, load its model and run it once.

        Raises:
            InputError: the bundle is damaged, its model does not load, or does not match the manifest.
            MissingCapabilityError: the engine is not installed.
        """
        bundle = Bundle.load(path)
        file = bundle.file(MODEL_NAME)
        if file is None:
            raise InputError(f"{path}: the bundle has no {MODEL_NAME}; export it again")
        if not bundle.manifest.name or "/" in bundle.manifest.name:
            raise InputError(
                f"{path}: the model name {bundle.manifest.name!r} cannot be part of a URL; "
                "export the bundle again with --name"
            )
        runtime = OnnxRuntime(file, threads=threads)
        _check_tensors(path, "input", bundle.manifest.inputs, runtime.inputs)
        _check_tensors(path, "output", bundle.manifest.outputs, runtime.outputs)
        model = cls(bundle, runtime)
        # The first run allocates; a model that cannot run on zeros can still run on what clients send.
        with suppress(RequestError):
            model.run({spec.name: spec.zeros(batch=1) for spec in bundle.manifest.inputs})
        return model

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; may be called from several threads at once.

        Raises:
            RequestError: 500, the engine failed.
        """
        try:
            return self._runtime.run(feeds)
        except Exception as error:  # every engine raises classes of its own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise RequestError(500, f"model '{self.name}' failed: {reason}") from error

    def metadata(self) -> dict[str, object]:
        """The model metadata response of the protocol."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": self.platform,
            "inputs": [_tensor_metadata(spec) for spec in self.inputs.values()],
            "outputs": [_tensor_metadata(spec) for spec in self.outputs.values()],
        }


class ModelRepository:
    """The loaded models, by name."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models = {model.name: model for model in models}

    @classmethod
    def load(cls, bundles: Sequence[Path], *, threads: int | None) -> ModelRepository:
        """Load every bundle.

        Raises:
            InputError: no bundle was given, one is damaged, or two have one name.
            MissingCapabilityError: the engine is not installed.
        """
        if not bundles:
            raise InputError("no bundle to serve; name at least one")
        models: dict[str, ServedModel] = {}
        folders: dict[str, Path] = {}
        for path in bundles:
            model = ServedModel.load(path, threads=threads)
            if model.name in models:
                raise InputError(
                    f"{path} and {folders[model.name]} both hold a model named {model.name!r}; "
                    "export one of them again with another --name"
                )
            models[model.name] = model
            folders[model.name] = path
        return cls(models.values())

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """The model `name`, in any version or in the one asked for.

        Raises:
            RequestError: 404 for an unknown model or version, 400 for a version that is no number.
        """
        model = self._models.get(name)
        if model is None:
            raise RequestError(404, f"Request for unknown model: '{name}' is not found")
        if version is not None and version != model.version:
            if not (version.isascii() and version.isdigit()):
                raise RequestError(400, f"model version '{version}' is not a positive integer")
            raise RequestError(
                404,
                f"Request for unknown model: '{name}' version {version} is not found; it has {model.version}",
            )
        return model


def _check_tensors(
    path: Path, kind: str, manifest: Sequence[TensorSpec], model: Sequence[TensorSpec]
) -> None:
    said, found = [{spec.name: spec.dtype for spec in specs} for specs in (manifest, model)]
    if said != found:
        raise InputError(
            f"{path}: the manifest's {kind}s are {said}, but the model's are {found}; export it again"
        )
    for name, dtype in said.items():
        if dtype not in DATATYPE_BY_NUMPY_NAME:
            raise InputError(
                f"{path}: {kind} {name!r} is of type {dtype}, which is not served; "
                f"served are {', '.join(sorted(DATATYPE_BY_NUMPY_NAME))}"
            )


def _tensor_metadata(spec: TensorSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "datatype": DATATYPE_BY_NUMPY_NAME[np.dtype(spec.dtype).name],
        "shape": [-1 if isinstance(axis, str) else axis for axis in spec.shape],
    }
