"""The inputs of all splits as networks take them, in memory or read by the batch: checked, filled, of one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dashdeploy.data.arrays.agreement import check_inputs_agree
from dashdeploy.data.arrays.large_inputs import checked_stored, lengths_of_stored, read_by_batch
from dashdeploy.data.arrays.lengths import (
    HowLengths,
    Lengths,
    all_to_one_length,
    padded_lengths,
    said_of_lengths,
    without_padding,
)
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, check_form, checked_inputs, refuse
from dashdeploy.data.missing_values import Missing, fill_missing


def checked_inputs_of_all(
    where: object,
    inputs: Mapping[str, Array | StoredArray],
    called: Mapping[str, str],
    lengths: Lengths | None,
    how: Missing,
    *,
    padding: bool,
) -> tuple[Mapping[str, Array] | Mapping[str, StoredArray], Lengths | None, tuple[str, ...]]:
    """Inputs that networks take, the lengths of padded series, and what is to be said of these.

    Raises:
        InputError: they cannot be used.
    """
    stored = {each: array for each, array in inputs.items() if isinstance(array, StoredArray)}
    held = {each: array for each, array in inputs.items() if not isinstance(array, StoredArray)}
    notes: tuple[str, ...] = ()
    if stored:
        for each, rows in stored.items():
            check_form(where, called[f"x_{each}"], rows.dtype, rows.shape)
        check_inputs_agree(where, stored, called)
    if lengths is None and padding:
        lengths = lengths_of_stored(stored) if stored else padded_lengths(held)
        notes = () if lengths is None else (f"NaN at the end of {called['x_train']} is padding",)
    if stored:
        return checked_stored(where, stored, called, lengths, may_miss=how != "refuse"), lengths, notes
    if lengths is not None:
        longest = max(array.shape[-1] for array in held.values())
        held = {each: without_padding(array, lengths[each], longest) for each, array in held.items()}
    held = {
        each: checked_inputs(where, called[f"x_{each}"], array, may_miss=how != "refuse")
        for each, array in held.items()
    }
    check_inputs_agree(where, held, called)
    return held, lengths, notes


Rows = TypeVar("Rows", Array, StoredArray, "Array | StoredArray")


def with_test_part(splits: Mapping[str, Rows], test: npt.NDArray[np.bool_]) -> dict[str, Rows]:
    """The splits, with the training samples that are chosen for the `test` taken out of these."""
    return {**splits, "train": splits["train"][~test], "test": splits["train"][test]}


def whole_inputs(
    where: object,
    given: Mapping[str, Array | StoredArray],
    lengths: Lengths | None,
    how: Missing,
    how_lengths: HowLengths,
) -> tuple[dict[str, Tensor], tuple[str, ...], bool]:
    """Inputs without gaps and of one length, what is to be said, and whether gaps were filled.

    Raises:
        InputError: images have gaps that only a mean can fill, or a channel has no value to train on.
    """
    stored = {name: array for name, array in given.items() if isinstance(array, StoredArray)}
    if stored:
        return read_by_batch(where, stored, lengths, how, how_lengths)
    inputs = {name: array for name, array in given.items() if not isinstance(array, StoredArray)}
    notes: tuple[str, ...] = ()
    gaps = how != "refuse" and any(np.isnan(each).any() for each in inputs.values())
    if gaps and how == "interpolate" and inputs["train"].ndim > 3:
        refuse(where, "images miss values, which no line can be drawn to", "use `missing=mean`")
    if lengths is None and not gaps:
        return {name: torch.from_numpy(array) for name, array in inputs.items()}, (), False
    samples = {name: list(array) for name, array in inputs.items()}
    if lengths is not None:
        samples = {
            name: [one[:, :length] for one, length in zip(split, lengths[name], strict=True)]
            for name, split in samples.items()
        }
        notes = (said_of_lengths(lengths, how_lengths),)
    if gaps and how != "refuse":
        samples, said = fill_missing(where, samples, how)
        notes = (*notes, *said)
    if lengths is None:
        return {name: torch.from_numpy(np.stack(split)) for name, split in samples.items()}, notes, gaps
    fitted = all_to_one_length(samples, how_lengths)
    return {name: torch.from_numpy(each.astype(np.float32)) for name, each in fitted.items()}, notes, gaps
