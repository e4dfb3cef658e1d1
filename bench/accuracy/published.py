"""What others report for the built-in tasks, to stand beside our own figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_REVIEW = "Ismail Fawaz et al. 2019, arXiv 1809.04356, mean of ten runs on the archive's split"
_INCEPTION = "Ismail Fawaz et al. 2020, arXiv 1909.04939, five networks together on the archive's split"
_MNIST1D = "Greydanus and Kobak 2020, arXiv 2011.14439"
_TCN = "Bai et al. 2018, arXiv 1803.01271"
_DARCY = "NAS-Bench-360, arXiv 2110.05668"
_SPLICE = "DNA Sequence Classification, 2025, openreview.net/forum?id=SecenRECUY, a split of its own"


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
        Published("ResNet", 0.979, _REVIEW),
        Published("FCN", 0.977, _REVIEW),
        Published("InceptionTime", 0.942, _INCEPTION),
    ),
    "arrowhead": (
        Published("InceptionTime", 0.846, _INCEPTION),
        Published("ResNet", 0.845, _REVIEW),
        Published("FCN", 0.843, _REVIEW),
    ),
    "acsf1": (Published("ResNet", 0.93, _REVIEW), Published("InceptionTime", 0.92, _INCEPTION)),
    "pigcvp": (Published("InceptionTime", 0.962, _INCEPTION), Published("ResNet", 0.909, _REVIEW)),
    "japanesevowels": (Published("FCN", 0.993, _REVIEW), Published("ResNet", 0.992, _REVIEW)),
    "splice": (Published("gradient boosting", 0.973, _SPLICE), Published("CNN", 0.945, _SPLICE)),
    "smnist": (Published("TCN", 0.990, _TCN),),
    "pmnist": (Published("TCN", 0.972, _TCN),),
    "darcy": (Published("expert", 0.008, _DARCY), Published("WRN", 0.073, _DARCY)),
}
"""By task. Splits and protocols differ between papers; these are landmarks, not a race.

The figures of the two papers on the UCR and UEA archives are those of their result files: ``results`` in
github.com/hfawaz/dl-4-tsc and ``results-InceptionTime-128.csv`` in github.com/hfawaz/InceptionTime.
"""

TARGETS: Mapping[str, float] = {
    "mnist1d": 0.995,
    "osuleaf": 0.98,
    "arrowhead": 0.85,
    "acsf1": 0.91,
    "pigcvp": 0.93,
    "japanesevowels": 0.99,
    "splice": 0.97,
}
"""What this project wants to reach."""
