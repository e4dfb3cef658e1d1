"""What a model's input or output is: its name, shape and element type."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from dashdeploy.artifacts.frozen_model import FrozenModel

Dimension = Annotated[int, Field(ge=0)] | str
"""A fixed length, or the name of a dynamic axis such as ``batch``."""


class TensorSpec(FrozenModel):
    """One input or output of a model.

    Attributes:
        name: the tensor's name in the model.
        shape: one entry per axis; a string names a dynamic axis (the batch).
        dtype: NumPy's name of the element type, such as ``float32``; ``object`` for text.
    """

    name: str
    shape: tuple[Dimension, ...]
    dtype: str

    def zeros(self, batch: int) -> npt.NDArray[np.generic]:
        """An array of zeros (of empty strings for text) of this shape, every dynamic axis of length `batch`."""
        shape = [batch if isinstance(axis, str) else axis for axis in self.shape]
        return np.full(shape, "", object) if self.dtype == "object" else np.zeros(shape, dtype=self.dtype)

    def random(self, batch: int, generator: np.random.Generator) -> npt.NDArray[np.generic]:
        """Random numbers of this shape, with every dynamic axis of length `batch`.

        Standard normal for a floating-point type; 0 or 1 otherwise, which any table of indices holds, as text
        where the type is text.
        """
        shape = [batch if isinstance(axis, str) else axis for axis in self.shape]
        if self.dtype == "object":
            return generator.integers(0, 2, shape).astype(str).astype(object)
        if np.dtype(self.dtype).kind != "f":
            return generator.integers(0, 2, shape).astype(self.dtype)
        return generator.standard_normal(shape).astype(self.dtype)
