"""ECG, Satellite and DeepSEA."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.data.checks import Array, finite, refuse
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.losses import binary_cross_entropy
from dashdeploy.data.nasbench360.files import (
    class_indices,
    entry,
    inputs,
    last,
    needed,
    pickled,
    split,
    zipped_arrays,
)
from dashdeploy.data.readers.safe_pickle import read_npy_objects
from dashdeploy.data.task import Split, Task

# DASH's search space of one-dimensional tasks (its task_configs).
_SPACE: dict[str, Any] = {"kernel_sizes": (3, 7, 11, 15, 19), "dilations": (1, 3, 7, 15)}

RHYTHMS = "NAO~"  # normal, atrial fibrillation, another, noise: PhysioNet's challenge of 2017
WINDOW, STRIDE = 1000, 500
# Rarer classes are cut with more overlap, so that classes have about as many windows.
STRIDES = {"N": STRIDE, "A": STRIDE // 6, "O": STRIDE // 2, "~": STRIDE // 20}
LAND_COVERS = 24
FEATURES = 36
POSITIVE_WEIGHT = 4.0


def load_ecg(folder: Path) -> Task:
    """``challenge2017.pkl``: heart rhythms, windows of 1000 of single-lead recordings, by macro F1.

    Recordings are scaled one by one, split 80, 10 and 10 %, and only then cut into windows.
    """
    path = needed(folder, "challenge2017.pkl")
    content = pickled(path)
    recordings, names = list(entry(path, content, "data")), list(entry(path, content, "label"))
    if len(recordings) != len(names) or len(names) < 10:
        refuse(path, f"{len(recordings)} recordings have {len(names)} labels", "download the file again")
    unknown = [index for index, name in enumerate(names) if not (isinstance(name, str) and name in STRIDES)]
    if unknown:
        refuse(
            path, f"label {unknown[0]} is {names[unknown[0]]!r}, not one of N, A, O, ~", "download it again"
        )
    scaled = [_scaled(path, index, np.asarray(each)) for index, each in enumerate(recordings)]
    known, rest = shuffled_split(len(names), 0.2)
    validation, test = (rest[part] for part in shuffled_split(len(rest), 0.5))
    train, held_out, tested = (
        _windows(path, [(scaled[i], names[i]) for i in part]) for part in (known, validation, test)
    )
    return make_task(
        "ecg",
        "classification",
        len(RHYTHMS),
        train,
        held_out,
        tested,
        DataOptions(metric="f1"),
        labels=("normal", "atrial fibrillation", "other", "noise"),
        source={"nas-bench-360": str(folder.resolve())},
        settings={"paper": {"batch_size": 1024, **_SPACE}},
    )


def shuffled_split(count: int, share: float) -> tuple[Array, Array]:
    """Indices of the kept and of the held-out samples, as scikit-learn's train_test_split with random_state 0."""
    held = ceil(share * count)
    order = np.random.RandomState(0).permutation(count)
    return order[held:], order[:held]


def _scaled(path: Path, index: int, recording: Array) -> Array:
    if recording.ndim != 1 or recording.dtype.kind not in "fiu":
        refuse(path, f"recording {index} is not a series of numbers", "download the file again")
    x = finite(path, f"recording {index}", recording)
    scaled: Array = (x - x.mean()) / max(float(x.std()), 1e-8)
    return scaled


def _windows(path: Path, recordings: list[tuple[Array, str]]) -> Split:
    """Windows [n, 1, 1000] of every recording that is longer than one, with their classes."""
    cut = [
        (recording[start : start + WINDOW], RHYTHMS.index(name))
        for recording, name in recordings
        for start in range(0, len(recording) - WINDOW, STRIDES[name])
    ]
    if not cut:
        refuse(path, f"no recording of a split is longer than {WINDOW}", "download the file again")
    return split(np.stack([x for x, _ in cut])[:, None], np.array([y for _, y in cut], np.int64))


def load_satellite(folder: Path) -> Task:
    """``satellite_{train,test}.npy``: 24 land covers from 46 instants, each series scaled by itself."""

    def read(name: str) -> Split:
        path = needed(folder, f"satellite_{name}.npy")
        array = read_npy_objects(path)
        content = array.item() if array.ndim == 0 else {}
        x = inputs(path, "data", entry(path, content, "data"), (None, 46))
        labels = np.asarray(entry(path, content, "label")) - 1
        return split(x[:, None], class_indices(path, "label", labels, LAND_COVERS, len(x)))

    known, test = read("train"), read("test")
    if len(test.targets) >= len(known.targets):
        refuse(folder, "the test set is not smaller than the training set", "download both files again")
    return make_task(
        "satellite",
        "classification",
        LAND_COVERS,
        *last(known, len(test.targets)),
        test,
        DataOptions(normalize="samples"),
        labels=tuple(str(number + 1) for number in range(LAND_COVERS)),
        source={"nas-bench-360": str(folder.resolve())},
        settings={"paper": {"batch_size": 256, **_SPACE}},
    )


def load_deepsea(folder: Path) -> Task:
    """``deepsea_filtered.npz``: 36 chromatin features of DNA, one-hot [4, 1000], by mean AUROC."""
    path = needed(folder, "deepsea_filtered.npz")
    content = zipped_arrays(path)

    def part(name: str) -> Split:
        x = inputs(path, f"x_{name}", entry(path, content, f"x_{name}"), (None, 1000, 4))
        y = inputs(path, f"y_{name}", entry(path, content, f"y_{name}"), (len(x), FEATURES))
        if ((y != 0) & (y != 1)).any():
            refuse(path, f"y_{name} holds values other than 0 and 1", "download the file again")
        return split(np.swapaxes(x, 1, 2), y.astype(np.int64))

    task = make_task(
        "deepsea",
        "multi-label",
        FEATURES,
        part("train"),
        part("val"),
        part("test"),
        labels=tuple(map(str, range(FEATURES))),
        source={"nas-bench-360": str(folder.resolve())},
        settings={"paper": {"batch_size": 256, **_SPACE}},
    )
    return replace(task, loss=partial(binary_cross_entropy, positive_weight=POSITIVE_WEIGHT))
