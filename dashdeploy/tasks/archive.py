"""Data sets of the UCR and UEA archives that ship inside the package aeon.

The published splits. H. A. Dau et al., "The UCR time series archive" (arXiv 1810.07758); JapaneseVowels:
M. Kudo, J. Toyama, M. Shimbo, "Multidimensional curve classification using passing-through regions", 1999.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashdeploy.tasks.options import DataOptions
from dashdeploy.tasks.package_data import package_file, package_version
from dashdeploy.tasks.task import Task
from dashdeploy.tasks.ts_files import load_ts

# A few hundred series need small batches and many passes; in batches of 128 a pass would be one or two steps.
_OUTLINES = {"quick": {"batch_size": 16, "search_epochs": 30, "retrain_epochs": 100}}
_VOWELS = {"quick": {"batch_size": 16, "search_epochs": 20, "retrain_epochs": 60}}


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
    return _load("osuleaf", "OSULeaf", seed, _OUTLINES)


def load_arrowhead(seed: int) -> Task:
    """Outlines of arrowheads as series of 251 angles, three types; 36 training series."""
    return _load("arrowhead", "ArrowHead", seed, _OUTLINES)


def load_japanesevowels(seed: int) -> Task:
    """Nine speakers, told apart by 12 cepstrum coefficients over the 7 to 29 frames of two vowels."""
    return _load("japanesevowels", "JapaneseVowels", seed, _VOWELS, DataOptions(normalize="channels"))
