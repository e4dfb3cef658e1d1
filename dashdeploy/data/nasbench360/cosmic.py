"""Cosmic: which pixels of a Hubble image were hit by cosmic rays.

Zhang and Bloom's deepCR data (arXiv 1907.09500), as NAS-Bench-360 has them: images of galaxies in the filter F435W,
the 128 x 128 pixels in the middle of each. The benchmark adds a random part of the sky's brightness to every image,
the test images among them; here images are as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.data.checks import finite, refuse, shown
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.metrics import metric_by_name
from dashdeploy.data.nasbench360.files import split
from dashdeploy.data.readers.npy_folder import read_npy
from dashdeploy.data.task import Metric, Split, Task
from dashdeploy.errors import InputError

if TYPE_CHECKING:
    import torchmetrics

FILTER = "f435w"
# The benchmark's fields of galaxies, visits by proposal; the others are star clusters and empty sky.
GALAXIES: Mapping[str, tuple[str, ...]] = {
    "9490": ("a3",),
    "10182": ("pb", "pd"),
    "10190": ("13", "28"),
    "10260": ("5", "7"),
    "10342": ("3",),
    "10407": ("3",),
    "10584": ("13",),
    "10760": ("2", "4"),
    "12058": ("1", "6", "12", "16"),
    "12513": ("2", "3"),
    "13057": ("1",),
    "13364": ("95",),
    "13691": ("11",),
    "13737": ("2", "3"),
    "13804": ("6",),
    "14343": ("1",),
    "14704": ("1",),
}
BEGIN, SIZE = 64, 128
VALIDATION_SHARE = 0.1
IGNORED = -1  # the target of a pixel that does not count


def load_cosmic(folder: Path) -> Task:
    """``npy_train/f435w/PROPOSAL/VISIT/*.npy`` and ``npy_test/…``, by the share of missed pixels."""
    return _load("cosmic", folder, metric_by_name("multi-label", 1, "fnr"))


def load_cosmic_auroc(folder: Path) -> Task:
    """The same by AUROC over all pixels."""
    return _load("cosmic_auroc", folder, Metric("auroc", _auroc, higher_is_better=True))


def _load(name: str, folder: Path, metric: Metric) -> Task:
    known, test = _read(folder, "npy_train"), _read(folder, "npy_test")
    count = int(len(known.targets) * (1 - VALIDATION_SHARE))  # the benchmark holds out the end of its list
    if not count:
        refuse(folder, f"npy_train has {len(known.targets)} images of galaxies", "extract the archive whole")
    task = make_task(
        name,
        "multi-label",
        1,
        Split(known.inputs[:count], known.targets[:count]),
        Split(known.inputs[count:], known.targets[count:]),
        test,
        DataOptions(normalize="channels"),
        dense=True,
        labels=("cosmic ray",),
        source={"nas-bench-360": str(folder.resolve())},
        settings={
            # DASH's settings of this task (its task_configs).
            "paper": {
                "batch_size": 4,
                "learning_rate": 0.01,
                "search_learning_rate": 0.01,
                "alpha_learning_rate": 0.005,
                "alpha_gradient_norm": 0.001,
                "backbone_arguments": {"widen": 1},
                "retrain_arguments": {"widen": 4},
            }
        },
    )
    return replace(task, loss=entropy_of_seen, metric=metric)


def entropy_of_seen(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy over the pixels that are not ignored."""
    seen = targets != IGNORED
    return F.binary_cross_entropy_with_logits(logits[seen], targets[seen].to(logits.dtype))


def _auroc() -> torchmetrics.Metric:
    from dashdeploy.data.nasbench360.benchmark_metrics import SeenAUROC

    return SeenAUROC(IGNORED)


def _read(folder: Path, part: str) -> Split:
    """The middles of all images of galaxies; pixels that the third plane marks are ignored."""
    paths = [
        path
        for path in sorted((_place(folder, part) / FILTER).glob("*/*/*.npy"))
        if path.name != "sky.npy" and path.parts[-2] in GALAXIES.get(path.parts[-3], ())
    ]
    if not paths:
        refuse(
            folder,
            f"{part}/{FILTER} has no image of a galaxy field ({part}/{FILTER}/10342/3/….npy)",
            "extract deepCR.ACS-WFC.train.tar and deepCR.ACS-WFC.test.tar there",
        )
    images = np.empty((len(paths), 1, SIZE, SIZE), np.float32)
    targets = np.empty(images.shape, np.int64)
    middle = slice(BEGIN, BEGIN + SIZE)
    for index, path in enumerate(paths):
        planes = read_npy(path)
        if planes.ndim != 3 or planes.shape[0] not in (2, 3) or min(planes.shape[1:]) < BEGIN + SIZE:
            refuse(
                path,
                f"it has shape {shown(planes.shape)}, not [3, 256, 256] (image, rays, ignored)",
                "extract it again",
            )
        cut = finite(path, "the image", planes[:, middle, middle])
        images[index, 0] = cut[0]
        targets[index, 0] = cut[1] > 0
        if len(cut) == 3:
            targets[index, 0][cut[2] > 0] = IGNORED
    return split(images, targets)


def _place(folder: Path, part: str) -> Path:
    """Where `part` lies: in the folder, or in one of those that the benchmark's scripts extract to."""
    for place in (folder, folder / "cosmic", folder / "data"):
        if (place / part).is_dir():
            return place / part
    raise InputError(
        f"`data_dir={folder}`: {part} is not there; download and extract deepCR.ACS-WFC.train.tar and "
        "deepCR.ACS-WFC.test.tar as NAS-Bench-360 tells (https://nb360.ml.cmu.edu)"
    )
