"""A node of an ONNX model with the constants that it is given, as the functions of operators read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        operator: its type.
        name: the name of its first output.
        attributes: by name.
        constants: those of its inputs that are known, by position.
        given: the positions of the inputs that it has.
        outputs: how many outputs it has.
    """

    operator: str
    name: str
    attributes: Mapping[str, Any]
    constants: Mapping[int, Array]
    given: frozenset[int]
    outputs: int = 1

    def get(self, attribute: str, default: Any = None) -> Any:  # noqa: ANN401 - of many types
        """An attribute's value."""
        return self.attributes.get(attribute, default)

    def integers(self, attribute: str, position: int) -> list[int] | None:
        """Integers that older opsets have as an attribute and newer ones as a constant input; None without either.

        Raises:
            InputError: the input is not a constant.
        """
        if attribute in self.attributes:
            value = self.attributes[attribute]
            return [int(each) for each in np.atleast_1d(value)]
        constant = self.constant(position)
        return None if constant is None else [int(each) for each in constant.reshape(-1)]

    def constant(self, position: int) -> Array | None:
        """The constant at an input; None if the input is left out.

        Raises:
            InputError: it is not a constant.
        """
        if position in self.constants:
            return self.constants[position]
        if position in self.given:
            raise self.refused(f"its input {position} is computed, and has to be a constant")
        return None

    def refused(self, reason: str) -> InputError:
        """The error that says why the node cannot be a torch program."""
        return InputError(
            f"{self.operator} (output {self.name}) has no form as a torch program: {reason}; choose another `target`"
        )
