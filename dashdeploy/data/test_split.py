"""The parts of data: what people call them, and a test part for data that come without one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array, refuse

TEST_SHARE = 0.2

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
"""What people call the parts of their data, in small letters, and what they are called here."""


class HeldOutTest(NamedTuple):
    """Which samples are for training, and which for the test.

    Attributes:
        train: their numbers, in order.
        test: theirs.
        source: for `Task.source`.
        note: for `Task.notes`.
    """

    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    source: dict[str, str]
    note: str


def split_off_test(where: object, targets: Array, seed: int, share: float = TEST_SHARE) -> HeldOutTest:
    """Hold some samples out for the test, the same ones for the same seed and targets.

    Args:
        where: the data, for messages.
        targets: one class a sample, [n], numbers or text; what has other axes, or fractions, is split as one class.
        seed: chooses the samples.
        share: the part (of every class) that is held out, rounded; a class of one sample stays in training.

    Raises:
        InputError: no class has enough samples.
    """
    classes = targets.ndim == 1 and targets.dtype.kind in "iubUO"
    members = [np.flatnonzero(targets == each) for each in np.unique(targets)] if classes else []
    generator = np.random.default_rng(seed)
    held = np.zeros(len(targets), bool)
    for group in members or [np.arange(len(targets))]:
        count = min(max(1, round(share * len(group))), len(group) - 1)
        held[generator.permutation(group)[:count]] = True
    if not held.any():
        refuse(
            where, "no class has two samples, so none can be held out to test", "add samples, or a test part"
        )
    how = "of every class " if classes else ""
    return HeldOutTest(
        np.flatnonzero(~held),
        np.flatnonzero(held),
        {"test": f"{share:g} held out, seed {seed}"},
        f"the data have no test part: {held.sum()} of {len(held)} samples ({share:.0%} {how}chosen by seed {seed}) "
        "are held out to test",
    )
