"""What ``site.json`` says: the page reads it to know the model, and people to know what was checked."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dashdeploy.artifacts.json_files import first_problem
from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.report.text_table import table

SITE_NAME = "site.json"
COMPILED, DIRECT = "compiled", "direct"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SiteTensor(_Strict):
    """An input or output, as the Open Inference Protocol describes it.

    Attributes:
        name: the tensor's name in the model.
        datatype: the protocol's, such as ``FP32``.
        shape: an axis that is dynamic is -1.
    """

    name: str
    datatype: str
    shape: list[int]

    @classmethod
    def of(cls, spec: TensorSpec) -> SiteTensor:
        """Of a tensor of a bundle.

        Raises:
            InputError: a page has no such element type.
        """
        datatype = DATATYPE_BY_NUMPY_NAME.get(spec.dtype)
        if datatype is None:
            raise InputError(
                f"{spec.name} is of type {spec.dtype}, which a page cannot hold; leave `web` out"
            )
        shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
        return cls(name=spec.name, datatype=datatype, shape=shape)


class SiteFile(_Strict):
    """A model of the site.

    Attributes:
        path: relative to the site.
        bytes: its size.
        sha256: of its content.
        max_relative_error: in the page's engine, against the bundle's reference; None where it was not checked.
        ms: median of its runs in Node, by turns with the other model; None where it was not checked.
    """

    path: str
    bytes: int
    sha256: str
    max_relative_error: float | None = None
    ms: float | None = None


class Site(_Strict):
    """The content of ``site.json``.

    Attributes:
        format_version: this format's version.
        name: the model's name.
        version: the model's version.
        inputs: the model's inputs.
        outputs: the model's outputs.
        labels: class names by index, for a classifier; otherwise empty.
        multi_label: whether a sample may have several of them.
        files: the ``compiled`` model and the ``direct`` one.
        uses: which of them predicts; the direct one where it is faster in the page's engine.
        sample: a request to try the model with, relative to the site; None if there is none.
        engine: onnxruntime-web's version.
        checked_in: where the models were checked, in words; None where they were not.
    """

    format_version: Literal[1] = 1
    name: str
    version: str
    inputs: list[SiteTensor]
    outputs: list[SiteTensor]
    labels: list[str]
    multi_label: bool
    files: dict[str, SiteFile]
    uses: Literal["compiled", "direct"] = "compiled"
    sample: str | None
    engine: str
    checked_in: str | None

    @classmethod
    def load(cls, folder: Path) -> Site:
        """Read the ``site.json`` of a site.

        Raises:
            InputError: `folder` is not a site.
        """
        path = folder / SITE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise InputError(f"{folder} is not a site of `web`: it has no {SITE_NAME}") from error
        except ValidationError as error:
            raise InputError(f"{path}: {first_problem(error)}; write the site again with `web`") from error

    def text(self, folder: Path) -> str:
        """What was written, for people."""
        rows = [
            [
                name,
                file.path,
                f"{file.bytes / 1e6:.2f} MB",
                "not checked" if file.max_relative_error is None else f"{file.max_relative_error:.1e}",
                "" if file.ms is None else f"{file.ms:.1f}",
            ]
            for name, file in self.files.items()
        ]
        checked = self.checked_in or "not checked in this engine: Node.js is not on the PATH"
        return (
            f"{folder}: a site of model {self.name}, version {self.version}\n"
            f"engine: onnxruntime-web {self.engine}; {checked}\n\n"
            + table(["model", "file", "size", "error", "ms"], rows)
        )
