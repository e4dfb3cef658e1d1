"""CIFAR-100, the same on a sphere, and NinaPro's electromyograms, which the benchmark reads as images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.nasbench360.files import class_indices, entry, inputs, last, needed, pickled, split
from dashdeploy.data.readers.npy_folder import read_npy
from dashdeploy.data.task import Split, Task

CLASSES = 100
VALIDATION_SHARE = 0.2
GESTURES = 18

# DASH's settings of these tasks (its task_configs): a narrow network is searched, a wide one retrained.
_WIDE: dict[str, Any] = {"backbone_arguments": {"widen": 1}, "retrain_arguments": {"widen": 4}}


def load_cifar100(folder: Path) -> Task:
    """``cifar-100-python/train`` and ``test``: 32 x 32 color images of 100 classes."""

    def read(name: str) -> Split:
        path = needed(folder, "cifar-100-python", name)
        content = pickled(path)
        x = inputs(path, "data", entry(path, content, "data"), (None, 3072)).reshape(-1, 3, 32, 32)
        return split(
            x, class_indices(path, "fine_labels", entry(path, content, "fine_labels"), CLASSES, len(x))
        )

    return _of_100("cifar100", folder, read("train"), read("test"))


def load_spherical(folder: Path) -> Task:
    """``s2_cifar100.gz``: CIFAR-100's images projected on a sphere and rotated, 60 x 60."""
    path = needed(folder, "s2_cifar100.gz")
    content = pickled(path, zipped=True)

    def part(name: str) -> Split:
        x = inputs(path, f"{name}/images", entry(path, content, name, "images"), (None, 3, 60, 60))
        labels = entry(path, content, name, "labels")
        return split(x, class_indices(path, f"{name}/labels", labels, CLASSES, len(x)))

    return _of_100("spherical", folder, part("train"), part("test"))


def _of_100(name: str, folder: Path, known: Split, test: Split) -> Task:
    train, validation = last(known, max(1, round(VALIDATION_SHARE * len(known.targets))))
    return make_task(
        name,
        "classification",
        CLASSES,
        train,
        validation,
        test,
        DataOptions(normalize="channels"),
        labels=tuple(map(str, range(CLASSES))),
        source={"nas-bench-360": str(folder.resolve())},
        settings={"paper": {"batch_size": 64, **_WIDE}},
    )


def load_ninapro(folder: Path) -> Task:
    """``ninapro_{train,val,test}.npy`` and ``label_…``: 18 gestures from 16 electrodes over 52 instants."""
    place = folder / "ninaPro" if (folder / "ninaPro").is_dir() else folder

    def read(name: str) -> Split:
        path, labels = needed(place, f"ninapro_{name}.npy"), needed(place, f"label_{name}.npy")
        x = inputs(path, "data", read_npy(path), (None, 52, 16))
        y = class_indices(labels, "labels", read_npy(labels), GESTURES, len(x))
        return split(np.swapaxes(x, 1, 2)[:, None], y)

    return make_task(
        "ninapro",
        "classification",
        GESTURES,
        read("train"),
        read("val"),
        read("test"),
        labels=tuple(map(str, range(GESTURES))),
        source={"nas-bench-360": str(folder.resolve())},
        settings={"paper": {"batch_size": 128, "kernel_sizes": (3, 5, 7), "dilations": (1, 3, 7), **_WIDE}},
    )
