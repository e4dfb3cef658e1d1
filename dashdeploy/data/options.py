"""What a user says about their own data, beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dashdeploy.data.task import Kind


@dataclass(frozen=True)
class DataOptions:
    """How a data file becomes a task.

    Attributes:
        predict: what is predicted; None means what the file says, or classification.
        loss: one of ``losses.LOSSES``; None is the kind's own.
        metric: one of ``metrics.METRICS``; None is the kind's own.
        normalize: ``channels`` scales every input channel, and every number to predict, to mean 0 and deviation 1
            over the training data; ``samples`` scales every channel of every sample by itself; None leaves both.
        lengths: what becomes of series of several lengths: ``pad`` fills the end with each channel's mean over
            the training data, ``resample`` interpolates linearly to the longest training series.
    """

    predict: Kind | None = None
    loss: str | None = None
    metric: str | None = None
    normalize: Literal["channels", "samples"] | None = None
    lengths: Literal["pad", "resample"] = "pad"
