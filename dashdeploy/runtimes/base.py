"""The one interface behind which every inference engine stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dashdeploy.artifacts.tensor_spec import TensorSpec

Array = npt.NDArray[np.generic]


class Runtime(Protocol):
    """A loaded model on an engine. Implementations may be called from several threads at once.

    Attributes:
        inputs: the model's inputs, in order.
        outputs: the model's outputs, in order.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once.

        Args:
            feeds: one array per input, by name, of the input's shape and dtype.

        Returns:
            One array per output, by name.
        """
        ...

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        ...
