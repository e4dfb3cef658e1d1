"""The bundle: what export writes, bench measures and serve runs.

A bundle is a folder whose ``bundle.json`` (the manifest) names every other file with its sha256.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.artifacts.states import states_problem
from dashdeploy.artifacts.tensor_spec import NUMPY_BY_DATATYPE, TensorSpec
from dashdeploy.errors import InputError, stage_call

FORMAT_VERSION = 1
MANIFEST_NAME = "bundle.json"
MODEL_NAME = "model.onnx"
NATIVE_NAME = "model.native.onnx"
TORCHSCRIPT_NAME = "model.ts"
PT2_NAME = "model.pt2"
PLAN_NAME = "plan.json"
PARITY_NAME = "parity.json"
SAMPLE_NAME = "sample.json"
DIRECT_NAME = "baseline/direct.onnx"
BACKBONE_NAME = "baseline/backbone.onnx"
SINGLE_NAME = "baseline/single.onnx"


class Manifest(BaseModel):
    """The content of ``bundle.json``.

    Attributes:
        format_version: this format's version; a reader refuses any other.
        name: the model's name, as clients ask for it.
        version: the model's version, a positive integer in a string as Triton has it.
        inputs: the model's inputs.
        outputs: the model's outputs.
        labels: class names by index, for a classifier; otherwise empty.
        multi_label: whether a sample may have several of the labels, each with a probability of its own; it is
            written where it is true.
        target: the engine and device that the plan was made for, such as ``ort-cpu``.
        precision: ``fp32``, ``fp16``, ``bf16`` or ``int8``: the lowest that a part of the model computes in.
        source: the run or the model file that was exported.
        ensemble: of how many networks the model is the mean; it is written where there are several.
        states: the output that is the next value of each input that holds a state, by the input's name; it is written
            where there are any.
        tools: versions of the packages that wrote the bundle.
        files: sha256 of every other file, by its path within the bundle.
    """

    model_config = ConfigDict(extra="forbid")

    format_version: int = FORMAT_VERSION
    name: str
    version: str = Field(default="1", pattern="^[1-9][0-9]{0,17}$")
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]
    labels: list[str] = Field(default_factory=list)
    multi_label: bool = False
    target: str
    precision: str
    source: str
    ensemble: int = Field(default=1, ge=1)
    states: dict[str, str] = Field(default_factory=dict)
    tools: dict[str, str]
    files: dict[str, str]

    @model_validator(mode="after")
    def _states_are_tensors(self) -> Manifest:
        problem = states_problem(self.states, self.inputs, self.outputs)
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, serialized: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Earlier versions refuse a field that they do not know; what has no ensemble and no states they can read."""
        content: dict[str, Any] = serialized(self)
        defaults = {"ensemble": 1, "multi_label": False, "states": {}}
        return {
            name: value for name, value in content.items() if name not in defaults or value != defaults[name]
        }


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Loading it checks that all files are there, that each has its sha256, and that there are no others.

    Example:
        ::

            bundle = dashdeploy.Bundle.load("bundle")
            print(bundle.manifest.name, bundle.manifest.precision)

    Attributes:
        path: the folder.
        manifest: the content of ``bundle.json``.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> Bundle:
        """Read the manifest of the bundle at `path` and check every file against its sha256.

        Args:
            path: the folder.
            verify: whether to check the hashes; False is enough to read the manifest alone.

        Returns:
            The bundle.

        Raises:
            InputError: the folder or its manifest is missing or malformed, the format version is another one,
                or a file is missing, does not match its hash, or is not named by the manifest.
        """
        path = Path(path)
        if not path.is_dir():
            call = stage_call("export", "RUN", out=path)
            raise InputError(f"{path}: no such bundle; write one with: {call}")
        manifest_path = path / MANIFEST_NAME
        try:
            content = json.loads(manifest_path.read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"{path} is not a bundle: it has no {MANIFEST_NAME}") from error
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{manifest_path} cannot be read: {error}; export the bundle again") from error
        found = content.get("format_version") if isinstance(content, dict) else None
        if type(found) is not int or found != FORMAT_VERSION:
            raise InputError(
                f"{manifest_path}: format version {found!r}, but this dashdeploy reads {FORMAT_VERSION}; "
                "export the bundle again, or use the dashdeploy that wrote it"
            )
        try:
            manifest = Manifest.model_validate(content)
        except ValidationError as error:
            raise InputError(f"{manifest_path}: {first_problem(error)}; export the bundle again") from error
        bundle = cls(path, manifest)
        if verify:
            bundle.verify_hashes()
        return bundle

    def verify_hashes(self) -> None:
        """Check that every file the manifest names is there and has its sha256, and that the folder holds no other.

        Raises:
            InputError: a file is missing, escapes the bundle, has another hash, or is foreign.
        """
        root = self.path.resolve()
        for name, expected in self.manifest.files.items():
            try:
                file = (self.path / name).resolve()
                inside, found = file.is_relative_to(root), file.is_file()
                actual = sha256_of(file) if inside and found else None
            except (OSError, ValueError) as error:  # no permission, a name too long, a zero byte in the name
                raise InputError(f"{self.path}: {name!r} cannot be read: {error}") from error
            if not inside:
                raise InputError(f"{self.path}: the manifest names a file outside the bundle: {name!r}")
            if not found:
                raise InputError(f"{self.path}: {name} is missing; export the bundle again")
            if actual != expected:
                raise InputError(
                    f"{self.path}: {name} does not match the sha256 in {MANIFEST_NAME}: it was changed after "
                    "export; export the bundle again"
                )
        for name in _everything_in(self.path):
            if name != MANIFEST_NAME and name not in self.manifest.files:
                raise InputError(
                    f"{self.path}: {name} is not named in {MANIFEST_NAME}: it was added after export; remove it"
                )

    def file(self, name: str) -> Path | None:
        """The path of the bundle's file `name`, or None if the bundle has no such file."""
        return self.path / name if name in self.manifest.files else None

    def sample(self) -> dict[str, npt.NDArray[np.generic]]:
        """The inputs of ``sample.json`` by name; empty if there is none."""
        if self.file(SAMPLE_NAME) is None:
            return {}
        return {
            tensor["name"]: np.array(tensor["data"], NUMPY_BY_DATATYPE[tensor["datatype"]]).reshape(
                tensor["shape"]
            )
            for tensor in self.read_json(SAMPLE_NAME)["inputs"]
        }

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - the content is whatever the file holds
        """The content of a JSON file of the bundle.

        Raises:
            InputError: the bundle has no such file, or it is not JSON.
        """
        path = self.file(name)
        if path is None:
            raise InputError(f"{self.path}: the bundle has no {name}; export it again")
        try:
            return json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path} cannot be read: {error}; export the bundle again") from error


def _everything_in(folder: Path) -> Iterator[str]:
    """Whatever is in `folder` and is not a folder itself, by its path within; links are not followed."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in sorted([*files, *links]):
            yield (Path(parent) / name).relative_to(folder).as_posix()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Hash every file in `folder` into `manifest` and write it as ``bundle.json``; an export's last step."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_NAME)
    hashes = {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
    complete = manifest.model_copy(update={"files": hashes})
    (folder / MANIFEST_NAME).write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")
