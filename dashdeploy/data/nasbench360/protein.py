"""PSICOV: distances between the residues of proteins, from features of their sequences.

PDNet (Adhikari, Bioinformatics 2020): 3456 proteins of DeepCov to learn from, the first 100 of them for validation,
and the 150 of PSICOV to test. A protein's map is padded by 5 at every side, and cut into windows of 128 x 128 that
cover it, as the benchmark tests; the benchmark learns from one random window of every protein an epoch, here an epoch
has all of them, and the paper preset has as many fewer epochs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.data.checks import Array, finite, refuse
from dashdeploy.data.from_arrays import make_task
from dashdeploy.data.lazy_inputs import lazy
from dashdeploy.data.nasbench360.files import entry, inputs, needed, pickled
from dashdeploy.data.readers.safe_pickle import read_npy_objects
from dashdeploy.data.task import Metric, Split, Task

if TYPE_CHECKING:
    import torchmetrics

WINDOW, PAD = 128, 5
LONGEST = 512 - 2 * PAD
FAR = 100.0  # the distance where a residue is missing
CAP = 16.0  # farther is all the same while learning
VALIDATION = 100
PAPER_EPOCHS, PAPER_SHARE = 200, 0.2
ROW = 1024  # a pixel's place is its row times this, plus its column
# Features of single residues, by name and number; each gives two planes, of its row's residue and of its column's.
SINGLE: Mapping[str, int] = {"ss": 3, "pssm": 22, "sa": 1, "entropy": 1}
PAIRS = ("ccmpred", "freecon", "potential")
PLANES = 2 * sum(SINGLE.values()) + len(PAIRS)


@dataclass(frozen=True)
class Protein:
    """Features and distances of one protein of l residues.

    Attributes:
        single: [27, l].
        pairs: [3, l, l].
        distances: between the Cβ atoms in Å, [l, l].
    """

    single: Tensor
    pairs: Tensor
    distances: Tensor

    @property
    def length(self) -> int:
        """Residues."""
        return self.single.shape[1]


def load_psicov(folder: Path) -> Task:
    """``{deepcov,psicov}.lst``, ``…/features/NAME.pkl`` and ``…/distance/NAME-cb.npy``, by MAE_8."""
    place = (
        folder
        if (folder / "deepcov.lst").exists() or not (folder / "protein").is_dir()
        else folder / "protein"
    )
    known, tested = (_proteins(place, name) for name in ("deepcov", "psicov"))
    held = min(VALIDATION, max(1, len(known) // 10))
    train, validation, test = known[held:], known[:held], tested
    if not train:
        refuse(place / "deepcov.lst", "it names one protein", "download protein.zip again")
    windows = sum(_side(protein) ** 2 for protein in train) / len(train)
    task = make_task(
        "psicov",
        "regression",
        1,
        _split(train),
        _split(validation, first=len(train)),
        _split(test),
        dense=True,
        source={"nas-bench-360": str(folder.resolve())},
        settings={
            # DASH's settings of this task (its task_configs).
            "paper": {
                "batch_size": 8,
                "search_share": PAPER_SHARE / windows,
                "retrain_epochs": max(1, round(PAPER_EPOCHS / windows)),
                "learning_rate": 0.01,
                "search_learning_rate": 0.01,
                "alpha_learning_rate": 0.005,
                "backbone_arguments": {"widen": 1},
                "retrain_arguments": {"widen": 4},
            }
        },
    )
    return replace(task, loss=capped_error, metric=Metric("mae_8", _contact_error, higher_is_better=False))


def capped_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error of distances up to `CAP`; what is behind the distances in the targets is the metric's."""
    return F.mse_loss(outputs, targets[:, :1].clamp_max(CAP))


def _contact_error() -> torchmetrics.Metric:
    from dashdeploy.data.nasbench360.benchmark_metrics import ContactMAE

    return ContactMAE(ROW)


def _proteins(folder: Path, name: str) -> list[Protein]:
    lines = needed(folder, f"{name}.lst").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        refuse(folder / f"{name}.lst", "it names no protein", "download protein.zip again")
    return [_protein(folder / name, each) for each in names]


def _protein(folder: Path, name: str) -> Protein:
    path = needed(folder, "features", f"{name}.pkl")
    content = pickled(path)
    length = len(entry(path, content, "seq"))
    if not 1 < length <= LONGEST:
        refuse(path, f"it has {length} residues", f"the benchmark's proteins have 2 to {LONGEST}")
    single = []
    for feature, count in SINGLE.items():
        values = np.asarray(entry(path, content, feature))
        if feature == "pssm":
            values = values.T if values.ndim == 2 else values
        elif count == 1:
            values = values[None]
        single.append(inputs(path, feature, values, (count, length)))
    pairs = [inputs(path, each, entry(path, content, each), (length, length)) for each in PAIRS]
    distances = _distances(needed(folder, "distance", f"{name}-cb.npy"), length)
    return Protein(*map(torch.from_numpy, (np.concatenate(single), np.stack(pairs), distances)))


def _distances(path: Path, length: int) -> Array:
    """The map [l, l] of (length, sequence, map), at least 1 Å; the diagonal is its neighbors' mean, as in PDNet."""
    content = read_npy_objects(path)
    if content.shape != (3,):
        refuse(path, "it does not hold a length, a sequence and a map", "download protein.zip again")
    found = finite(path, "the map", np.array(inputs(path, "the map", content[2], (length, length))))
    found = np.maximum(found, 1.0)
    beside = np.diagonal(found, -1)
    np.fill_diagonal(
        found, np.concatenate([[found[0, 1]], (beside[:-1] + np.diagonal(found, 1)[1:]) / 2, [beside[-1]]])
    )
    return found


def _side(protein: Protein) -> int:
    """Windows along one side of the padded map."""
    return -(-(protein.length + 2 * PAD) // WINDOW)


def _split(proteins: Sequence[Protein], first: int = 0) -> Split:
    """All windows of all proteins, row by row; `first` is the number of the first.

    Targets are [B, 3, 128, 128]: the distance, and for the metric the protein's number and the pixel's place in it.
    """
    windows = [
        (number, row * WINDOW, column * WINDOW)
        for number, protein in enumerate(proteins)
        for row in range(_side(protein))
        for column in range(_side(protein))
    ]
    targets = torch.stack(
        [_targets(proteins[number], first + number, top, left) for number, top, left in windows]
    )
    return Split(lazy((len(windows), PLANES, WINDOW, WINDOW), partial(_window, proteins, windows)), targets)


def _inside(protein: Protein, start: int) -> tuple[slice, slice]:
    """Of a window's side that begins at `start` of the padded map: which residues it has, and where."""
    first, last = max(0, start - PAD), min(protein.length, start - PAD + WINDOW)
    offset = first - (start - PAD)
    return slice(first, last), slice(offset, offset + max(0, last - first))


def _targets(protein: Protein, number: int, top: int, left: int) -> Tensor:
    (rows, at_rows), (columns, at_columns) = _inside(protein, top), _inside(protein, left)
    window = torch.full((3, WINDOW, WINDOW), FAR)
    window[0, at_rows, at_columns] = protein.distances[rows, columns]
    window[1] = number
    places = torch.arange(WINDOW)[:, None] * ROW + torch.arange(WINDOW)
    window[2] = places + top * ROW + left
    return window


def _window(proteins: Sequence[Protein], windows: Sequence[tuple[int, int, int]], index: int) -> Tensor:
    """The planes [57, 128, 128] of one window; 0 where a residue is missing."""
    number, top, left = windows[index]
    protein = proteins[number]
    (rows, at_rows), (columns, at_columns) = _inside(protein, top), _inside(protein, left)
    window = torch.zeros(PLANES, WINDOW, WINDOW)
    inside = window[:, at_rows, at_columns]
    singles = 2 * len(protein.single)
    # The benchmark's order: first the column's residue, then the row's.
    inside[0:singles:2] = protein.single[:, None, columns]
    inside[1:singles:2] = protein.single[:, rows, None]
    inside[singles:] = protein.pairs[:, rows, columns]
    return window
