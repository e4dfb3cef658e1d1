"""What others report for the built-in tasks, to stand beside our own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_BAKE_OFF = "attributed to Middlehurst et al. 2024, arXiv 2304.13029, not re-checked"
_DEEP = "attributed to Ismail Fawaz et al. 2019, arXiv 1809.04356, not re-checked"
_MNIST1D = "Greydanus and Kobak 2020, arXiv 2011.14439"
_TCN = "Bai et al. 2018, arXiv 1803.01271"
_DARCY = "NAS-Bench-360, arXiv 2110.05668"
_UNCHECKED = "source not established"


@dataclass(frozen=True)
class Published:
    """One figure.

    Attributes:
        method: whose.
        value: in the task's metric; accuracies from 0 to 1.
        source: where it is reported.
    """

    method: str
    value: float
    source: str


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "mnist1d": (Published("CNN", 0.94, _MNIST1D), Published("human", 0.96, _MNIST1D)),
    "mnist1d_shuffled": (Published("CNN", 0.56, _MNIST1D), Published("MLP", 0.68, _MNIST1D)),
    "osuleaf": (
        Published("ResNet", 0.980, _BAKE_OFF),
        Published("HIVE-COTE 2", 0.967, _BAKE_OFF),
        Published("InceptionTime", 0.942, _BAKE_OFF),
    ),
    "arrowhead": (
        Published("HIVE-COTE 2", 0.869, _BAKE_OFF),
        Published("InceptionTime", 0.846, _BAKE_OFF),
        Published("ResNet", 0.838, _BAKE_OFF),
    ),
    "japanesevowels": (Published("FCN", 0.993, _DEEP), Published("ResNet", 0.992, _DEEP)),
    "splice": (
        Published("gradient boosting", 0.973, _UNCHECKED),
        Published("CNN", 0.945, _UNCHECKED),
    ),
    "smnist": (Published("TCN", 0.990, _TCN),),
    "pmnist": (Published("TCN", 0.972, _TCN),),
    "darcy": (Published("expert", 0.008, _DARCY), Published("WRN", 0.073, _DARCY)),
}
"""By task. Splits and protocols differ between papers; these are landmarks, not a race."""

TARGETS: Mapping[str, float] = {"mnist1d": 0.993, "osuleaf": 0.98, "japanesevowels": 0.99, "splice": 0.97}
"""What this project wants to reach."""
