"""``estimator.json``: what an estimator knows that its run does not, in the run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from dashdeploy.artifacts.json_files import FrozenModel, first_problem
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError

DESCRIPTION_NAME = "estimator.json"


class Classes(FrozenModel):
    """The names of the classes as the user has them.

    Attributes:
        dtype: of the array, as NumPy writes it; ``object`` for pandas' text.
        values: by index.
    """

    dtype: str
    values: list[Any]

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Classes:
        """The content of `array`."""
        return cls(dtype="object" if array.dtype.kind == "O" else array.dtype.str, values=array.tolist())

    def array(self) -> npt.NDArray[Any]:
        """The array again."""
        return np.array(self.values, np.dtype(self.dtype))


class Description(FrozenModel):
    """The content of ``estimator.json``.

    Attributes:
        format_version: this format's version.
        estimator: the name of the class.
        parameters: of its constructor.
        sample_shape: one sample's axes as `fit` had them: [length], [channels, length] or [channels, height, width].
        feature_names: of the columns, where `fit` had a data frame.
        classes: of a classifier.
        one_number: whether a regressor predicts [samples] rather than [samples, outputs].
    """

    format_version: int = 1
    estimator: str
    parameters: dict[str, Any]
    sample_shape: tuple[int, ...]
    feature_names: list[str] | None = None
    classes: Classes | None = None
    one_number: bool = True

    def text(self) -> str:
        """As JSON.

        Raises:
            InputError: a parameter or a class is nothing that JSON has.
        """
        try:
            return json.dumps(self.model_dump(), indent=2) + "\n"
        except TypeError as error:
            raise InputError(
                f"{DESCRIPTION_NAME} cannot hold a parameter or a class ({error}); use numbers and text"
            ) from error


def parameters_as_json(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Parameters as JSON has them; NumPy's numbers and arrays come from grids of parameters."""

    def plain(value: object) -> object:
        if isinstance(value, (np.generic, np.ndarray)):
            return value.tolist()
        return str(value) if isinstance(value, PurePath) else value

    return {name: plain(value) for name, value in parameters.items()}


def parameters_of_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as a constructor has them, with tuples for sequences."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def description_of(run: Run, kind: str, estimator: str) -> Description:
    """What the file in `run` says, or, where a search wrote the run for itself, what follows from it.

    Args:
        run: the run.
        kind: what is predicted, ``classification`` or ``regression``.
        estimator: the class that is to be made.

    Raises:
        InputError: the file is damaged, or the run predicts something else.
    """
    path = run.path / DESCRIPTION_NAME
    if path.exists():
        try:
            found = Description.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise InputError(f"{path}: {first_problem(error)}; save the estimator again") from error
        if found.estimator != estimator:
            raise InputError(f"{run.path} is a {found.estimator}; load it with that class")
        return found
    config = run.config
    if config.get("dense") or config.get("kind", "classification") != kind:
        what = f"{'dense ' if config.get('dense') else ''}{config.get('kind', 'classification')}"
        raise InputError(f"{run.path} is a run for {what}, which {estimator} is not for; use its networks")
    labels = np.array(config["labels"]) if kind == "classification" else None
    if labels is not None and labels.tolist() == [str(index) for index in range(len(labels))]:
        labels = np.arange(len(labels))
    return Description(
        estimator=estimator,
        parameters={},
        sample_shape=tuple(config["input_shape"]),
        classes=None if labels is None else Classes.of(labels),
        one_number=config["outputs"] == 1,
    )
