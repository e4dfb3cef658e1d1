"""How the setting `devices` is read: on what, and on how many devices, a run computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Accelerator = Literal["auto", "cpu", "cuda"]
_PATTERN = re.compile(r"(?P<accelerator>auto|cpu|cuda)?(?P<colon>:)?(?P<count>[1-9]\d*)?")


@dataclass(frozen=True)
class Devices:
    """What the settings `devices` and `nodes` say.

    Attributes:
        accelerator: ``auto`` is a GPU if there is one.
        count: devices of every machine.
        nodes: machines.
    """

    accelerator: Accelerator
    count: int
    nodes: int = 1

    @property
    def processes(self) -> int:
        """How many processes the run has, one per device."""
        return self.count * self.nodes

    @property
    def is_cuda(self) -> bool:
        """Whether they are GPUs."""
        import torch

        return self.accelerator == "cuda" or (self.accelerator == "auto" and torch.cuda.is_available())


def read_devices(text: str, nodes: int = 1) -> Devices:
    """Read ``auto``, ``cpu``, ``cuda``, a number of devices, or both as in ``cuda:4``.

    Raises:
        ValueError: it is something else.
    """
    found = _PATTERN.fullmatch(text)
    if not text or found is None or bool(found["colon"]) != bool(found["accelerator"] and found["count"]):
        raise ValueError("not devices; write auto, cpu, cuda, a number of them such as 2, or both: cuda:4")
    return Devices(cast("Accelerator", found["accelerator"] or "auto"), int(found["count"] or 1), nodes)
