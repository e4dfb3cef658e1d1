"""A test part for data that come without one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dashdeploy.data.checks import Array

TEST_SHARE = 0.2


def chosen_for_test(classes: Array | None, count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Choose a fifth of the samples, the same for the same seed.

    Of every class a fifth is chosen, rounded down; what then lacks of a fifth of all comes from the classes with the
    largest remainders, one sample each. The last sample of a class is never chosen, so that training data have all
    classes.

    Args:
        classes: the class of each sample; None if samples have none, or one at every position: any may be chosen.
        count: number of samples.
        seed: of the choice.

    Returns:
        Whether each sample is in the test part.
    """
    generator = np.random.default_rng(seed)
    chosen = np.zeros(count, bool)
    wanted = round(TEST_SHARE * count)
    if classes is None:
        chosen[generator.permutation(count)[:wanted]] = True
        return chosen
    _, index, members = np.unique(classes, return_inverse=True, return_counts=True)
    shares = TEST_SHARE * members
    quota = np.floor(shares).astype(int)
    by_remainder = np.lexsort((generator.permutation(len(members)), quota - shares))
    by_remainder = by_remainder[(members > 1)[by_remainder]]
    quota[by_remainder[: max(0, wanted - int(quota.sum()))]] += 1
    for each, number in enumerate(quota):
        chosen[generator.permutation(np.flatnonzero(index == each))[:number]] = True
    return chosen


def note_of_test_part(chosen: str) -> str:
    """What is to be told of a test part that was chosen as `said_of_test_part` says."""
    return f"the data have no test part: {chosen}, are kept for the test and never learned from"


def said_of_test_part(kind: str, seed: int) -> str:
    """How the test part was chosen, for the record: kind is ``stratified`` or ``random``."""
    return f"{TEST_SHARE:.0%} of the samples, {kind}, seed {seed}"
