"""A task from arrays: x_train, y_train, x_test, y_test and, if wanted, x_val, y_val, labels.

Every way to bring one's own data ends here: ``.npz`` files, folders of ``.npy`` files, ``.ts`` files, factories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from dashdeploy.data.checks import Array, checked_targets, refuse, shown
from dashdeploy.data.class_labels import classes_of, plain_text
from dashdeploy.data.inputs import inputs_of
from dashdeploy.data.losses import loss_by_name
from dashdeploy.data.metrics import metric_by_name
from dashdeploy.data.missing_values import Missing
from dashdeploy.data.scaling import Affine, Scaling
from dashdeploy.data.stored_arrays import StoredArray
from dashdeploy.data.task import Kind, Split, Task, hold_out

VALIDATION_SHARE = 0.15
REQUIRED = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL = ("x_val", "y_val")
LABELS = "labels"
FEWEST_TRAINING_SAMPLES = 8


@dataclass(frozen=True)
class DataOptions:
    """How a data file becomes a task.

    Attributes:
        predict: what is predicted; None means what the file says, or classification.
        loss: one of ``dashdeploy.data.losses.LOSSES``; None is the kind's own.
        metric: one of ``dashdeploy.data.metrics.METRICS``; None is the kind's own.
        normalize: ``channels`` scales every input channel, and every number to predict, to mean 0 and deviation 1
            over the training data; ``samples`` scales every channel of every sample by itself; None leaves both.
        lengths: what becomes of series of several lengths: ``pad`` fills the end with each channel's mean over
            the training data, ``resample`` interpolates linearly to the longest training series.
        missing: what becomes of missing values of the inputs: ``interpolate`` draws straight lines along the series,
            ``mean`` takes the channel's mean over the training data, ``refuse`` accepts none. None interpolates
            those of ``.ts`` files and WFDB records, which have a sign for them, and refuses arrays that hold NaN.
        timestamps: what becomes of ``.ts`` files whose values have time stamps: ``resample`` interpolates linearly on
            an even grid whose step is the median one of the training data.
        image_size: height and width that images in folders are resized to; None takes images of one size.
    """

    predict: Kind | None = None
    loss: str | None = None
    metric: str | None = None
    normalize: Literal["channels", "samples"] | None = None
    lengths: Literal["pad", "resample"] = "pad"
    missing: Missing | None = None
    timestamps: Literal["refuse", "resample"] = "refuse"
    image_size: tuple[int, int] | None = None


def task_from_arrays(
    name: str,
    where: object,
    arrays: Mapping[str, Array | StoredArray],
    options: DataOptions | None = None,
    *,
    seed: int = 0,
    source: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    validation_share: float = VALIDATION_SHARE,
    notes: Sequence[str] = (),
) -> Task:
    """Check the arrays and make a task of them.

    Args:
        name: of the task.
        where: what the arrays came from, for messages.
        arrays: `REQUIRED`, both or none of `OPTIONAL`, and perhaps ``labels``, the names of classes. Classes may be
            called anything, see `dashdeploy.data.class_labels`. A `StoredArray` or a `numpy.memmap` stays in its file
            where the inputs are too large for memory.
        options: what is predicted, the loss, the metric, the scaling.
        seed: chooses what is held out of the training data for validation, if there is no x_val and y_val.
        source: for the record; the arrays' sha256 is added where it has none, so that a resumed run sees whether they
            are the same.
        settings: search settings that suit the data, by preset.
        validation_share: the part of the training data that is held out.
        notes: what was made of the data before, for `Task.notes`.

    Raises:
        InputError: an array cannot be used; the message names it and the mend.
    """
    options = options or DataOptions()
    kind = options.predict or "classification"
    check_names(where, list(arrays), "save it as numpy.savez(path, {}=…)")
    stored = {name: _stored_or_not(array) for name, array in arrays.items()}
    plain = {name: _plain(array) for name, array in stored.items() if not name.startswith("x_")}
    names = ["train", "test"] + (["val"] if "x_val" in arrays else [])
    inputs, filled = inputs_of(where, {each: stored[f"x_{each}"] for each in names}, options.missing)
    how_filled = {"missing": str(options.missing)} if filled else {}
    notes = (*notes, *filled)
    spatial = tuple(inputs["train"].shape[2:])
    targets, dense = _targets(where, plain, names, kind, spatial, {each: len(inputs[each]) for each in names})
    if len(inputs["train"]) < FEWEST_TRAINING_SAMPLES:
        refuse(
            where,
            f"x_train has {len(inputs['train'])} samples",
            f"training needs at least {FEWEST_TRAINING_SAMPLES}",
        )
    if kind == "classification":
        classes = classes_of(where, targets, _names(where, plain.get(LABELS)))
        labels, targets, notes = classes.labels, classes.targets, (*notes, *classes.notes)
        outputs = len(labels)
    else:
        outputs = int(targets["train"].shape[1])
        labels = _labels(where, plain.get(LABELS), kind, outputs)
    splits = {
        each: Split(inputs[each], torch.from_numpy(np.ascontiguousarray(targets[each]))) for each in names
    }
    train, validation = splits["train"], splits.get("val")
    if validation is None:
        train, validation = hold_out(train, validation_share, seed, kind)
        if not len(validation.targets):
            refuse(
                where,
                "y_train has no class with two samples, so none can be held out for validation",
                "add x_val and y_val",
            )
    return make_task(
        name,
        kind,
        outputs,
        train,
        validation,
        splits["test"],
        options,
        dense=dense,
        labels=labels,
        source={**_with_sha256(source or {}, {**stored, **plain}), **how_filled},
        settings=settings,
        notes=notes,
    )


def _stored_or_not(array: Array | StoredArray) -> Array | StoredArray:
    """An array that is mapped from a file as one whose rows are read from there."""
    return StoredArray.of(array) if isinstance(array, np.memmap) and array.ndim else array


def _plain(array: Array | StoredArray) -> Array:
    return plain_text(array.whole() if isinstance(array, StoredArray) else array)


def _with_sha256(source: Mapping[str, str], arrays: Mapping[str, Array | StoredArray]) -> Mapping[str, str]:
    """The source with the sha256 of the arrays' names, types, shapes and values, where it lacks its files' own."""
    if "sha256" in source:
        return source
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        for block in [array] if isinstance(array, np.ndarray) else (rows for _, rows in array.blocks()):
            digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    return {**source, "sha256": digest.hexdigest()}


def make_task(
    name: str,
    kind: Kind,
    outputs: int,
    train: Split,
    validation: Split,
    test: Split,
    options: DataOptions | None = None,
    *,
    dense: bool = False,
    labels: Sequence[str] = (),
    source: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Sequence[str] = (),
) -> Task:
    """A task of splits that are known to be good; scaled as the options say, by the training split alone.

    Raises:
        InputError: the options name a loss or metric that the kind does not have.
    """
    options = options or DataOptions()
    scaling = Scaling()
    if options.normalize == "samples":
        scaling = Scaling(per_sample=True)
    elif options.normalize == "channels":
        scaling = Scaling(Affine.of(train.inputs), Affine.of(train.targets) if kind == "regression" else None)
    if scaling:
        train, validation, test = (
            Split(scaling.scale_inputs(split.inputs), scaling.scale_outputs(split.targets))
            for split in (train, validation, test)
        )
    return Task(
        name=name,
        input_shape=tuple(train.inputs.shape[1:]),
        dense=dense,
        outputs=outputs,
        labels=tuple(labels),
        loss=loss_by_name(kind, options.loss, units=scaling.outputs),
        metric=metric_by_name(kind, outputs, options.metric, units=scaling.outputs),
        train=train,
        validation=validation,
        test=test,
        source=source or {},
        kind=kind,
        settings=settings or {},
        scaling=scaling,
        notes=tuple(notes),
    )


def check_names(where: object, found: Sequence[str], mend: str) -> None:
    """Refuse data that lacks an array; `mend` gets its name.

    Raises:
        InputError: an array is missing.
    """
    missing = [each for each in REQUIRED if each not in found]
    if not missing and len(set(OPTIONAL) & set(found)) == 1:
        missing = [each for each in OPTIONAL if each not in found]
    if missing:
        has = ", ".join(found[:8]) or "no arrays"
        refuse(where, f"array {missing[0]} is missing (the file has {has})", mend.format(missing[0]))


def _targets(
    where: object,
    arrays: Mapping[str, Array],
    names: Sequence[str],
    kind: Kind,
    spatial: tuple[int, ...],
    counts: Mapping[str, int],
) -> tuple[dict[str, Array], bool]:
    checked = {
        each: checked_targets(where, f"y_{each}", arrays[f"y_{each}"], kind, spatial) for each in names
    }
    for each, (array, dense) in checked.items():
        if counts[each] != len(array):
            refuse(
                where,
                f"x_{each} has {counts[each]} samples but y_{each} has {len(array)}",
                "give every sample one target",
            )
        same = array.shape[1:] == checked["train"][0].shape[1:] and dense == checked["train"][1]
        if not same:
            refuse(
                where,
                f"y_{each} has targets of shape {shown(array.shape[1:])} but y_train of shape "
                f"{shown(checked['train'][0].shape[1:])}",
                "use the same shape everywhere",
            )
    return {each: array for each, (array, _) in checked.items()}, checked["train"][1]


def _names(where: object, names: Array | None) -> Array | None:
    """`names`, if they are names of classes."""
    if names is not None and (names.dtype.kind not in "Uiu" or names.ndim != 1):
        refuse(
            where,
            f"labels has dtype {names.dtype} and shape {shown(names.shape)}",
            "give one name for each class, as text",
        )
    return names


def _labels(where: object, names: Array | None, kind: Kind, outputs: int) -> tuple[str, ...]:
    """Names of the labels that a sample has any number of; none for numbers."""
    if kind == "regression":
        return ()
    names = _names(where, names)
    if names is None:
        return tuple(str(index) for index in range(outputs))
    if len(names) != outputs:
        refuse(where, f"labels has {len(names)} names", f"give one for each of the {outputs} labels")
    return tuple(str(each) for each in names)
