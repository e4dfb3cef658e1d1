"""What is converted: a verified model with its papers."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from dashdeploy.export.planning.planner import Decisions
from dashdeploy.export.verify.parity_report import Parity


@dataclass(frozen=True)
class Compiled:
    """A verified model with its papers.

    Attributes:
        model: the model.
        decisions: how its convolutions are computed.
        parity: how it agrees with the reference.
    """

    model: ir.Model
    decisions: Decisions
    parity: Parity
