"""The task that the parameters of an estimator make of X and y."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args

from dashdeploy.data.arrays.sizes import differ_in_size
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.scaling.informative import how_by_itself
from dashdeploy.data.scaling.scaling import Normalize
from dashdeploy.data.task import Kind, Split, Task, hold_out
from dashdeploy.errors import InputError

NORMALIZATIONS = ("auto", None, *get_args(Normalize))


def task_of(
    estimator: str,
    kind: Kind,
    data: Split,
    outputs: int,
    labels: Sequence[str],
    *,
    normalize: str | None,
    validation_share: float,
    seed: int,
) -> Task:
    """A task without a test part.

    Args:
        estimator: the class's name, for the record.
        kind: what is predicted.
        data: X and y.
        outputs: number of classes or numbers.
        labels: names of the classes; none for numbers.
        normalize: the parameter.
        validation_share: the parameter.
        seed: chooses what is held out.

    Raises:
        InputError: a parameter is wrong, or too few samples are there.
    """
    if normalize not in NORMALIZATIONS:
        raise InputError(
            f"`normalize={normalize}`: use 'auto', 'channels', 'samples', 'sizes', 'none' or None"
        )
    if not 0 < validation_share < 1:
        raise InputError(f"`validation_share={validation_share}`: it lies between 0 and 1")
    train, validation = hold_out(data, validation_share, seed, kind)
    if not len(validation.targets):
        raise InputError(
            "y has no class with two samples, so none can be held out for validation; add samples"
        )
    how = _automatic(kind, train) if normalize == "auto" else cast("Normalize | None", normalize)
    return make_task(
        estimator,
        kind,
        outputs,
        train,
        validation,
        None,
        DataOptions(predict=kind, normalize=how),
        labels=labels,
        source={"estimator": estimator},
        scale_what_is_far=True,
    )


def _automatic(kind: Kind, train: Split) -> Normalize:
    series = kind == "classification" and train.inputs.ndim == 3
    if series and differ_in_size(list(train.inputs.numpy())):
        return how_by_itself(train.inputs, train.targets)
    return "channels"
