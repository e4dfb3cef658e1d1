"""Data sets of the UCR and UEA archives that ship inside the package aeon.

The published splits. H. A. Dau et al., "The UCR time series archive" (arXiv 1810.07758); JapaneseVowels:
M. Kudo, J. Toyama, M. Shimbo, "Multidimensional curve classification using passing-through regions", 1999.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dashdeploy.data.datasets.package_data import package_file, package_version
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.ts_files import load_ts
from dashdeploy.data.task import Task

# A few hundred series need small batches and many passes; in batches of 128 a pass would be one or two steps.
# What is held out for validation is missed in training, and too little to choose an epoch by: after a
# cross-validation of a few candidates both networks learn from everything.
_FEW = {"batch_size": 16, "refit": True}
_OUTLINES = {
    "quick": {
        **_FEW,
        "width": 16,
        "learning_rate": 0.03,
        "search_epochs": 15,
        "shortlist": 3,
        "shortlist_folds": 3,
        "shortlist_epochs": 40,
        "retrain_epochs": 100,
    }
}
# Of 7 to 29 frames: with larger dilations, most taps of a kernel would only meet padding.
_VOWELS = {
    "quick": {
        **_FEW,
        "dilations": (1, 3),
        "search_epochs": 20,
        "field_pressure": 1e-5,
        "shortlist": 3,
        "shortlist_folds": 3,
        "shortlist_epochs": 60,
        "retrain_epochs": 60,
        "mixup": 0.4,
        "noise": 0.2,
        "mask": 0.1,
    }
}


def _load(
    name: str,
    folder: str,
    seed: int,
    settings: Mapping[str, Mapping[str, Any]],
    options: DataOptions | None = None,
) -> Task:
    path = package_file(name, "aeon", "aeon", "datasets", "data", folder, f"{folder}_TRAIN.ts")
    source = {"package": f"aeon {package_version('aeon')}"}
    return load_ts(path, seed=seed, options=options, name=name, source=source, settings=settings)


def load_osuleaf(seed: int) -> Task:
    """Outlines of leaves as series of 427 distances, six species."""
    # An outline is closed: it has no first point.
    return replace(_load("osuleaf", "OSULeaf", seed, _OUTLINES), augment=circular_shift)


def circular_shift(inputs: Tensor) -> Tensor:
    """Start every series [B, channels, n] somewhere else: for closed outlines, which have no first point."""
    n = inputs.shape[-1]
    start = torch.randint(n, (len(inputs), 1), device=inputs.device)
    at = (torch.arange(n, device=inputs.device) + start) % n
    return inputs.gather(-1, at[:, None].expand_as(inputs))


def load_arrowhead(seed: int) -> Task:
    """Outlines of arrowheads as series of 251 angles, three types; 36 training series."""
    return _load("arrowhead", "ArrowHead", seed, _OUTLINES)


def load_japanesevowels(seed: int) -> Task:
    """Nine speakers, told apart by 12 cepstrum coefficients over the 7 to 29 frames of two vowels."""
    return _load("japanesevowels", "JapaneseVowels", seed, _VOWELS, DataOptions(normalize="channels"))
