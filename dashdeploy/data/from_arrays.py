"""A task from arrays: x_train, y_train, x_test, y_test and, if wanted, x_val, y_val, labels.

Every way to bring your own data ends here: ``.npz`` files, folders of ``.npy`` files, ``.ts`` files, tables,
factories, arrays of a program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch

from dashdeploy.data.arrays.agreement import checked_targets_of_all, names_of_classes, names_of_labels
from dashdeploy.data.arrays.inputs import checked_inputs_of_all, whole_inputs, with_test_part
from dashdeploy.data.arrays.layout import Layout, in_channels_first
from dashdeploy.data.arrays.lengths import HowLengths, Lengths
from dashdeploy.data.arrays.names import LABELS, names_of_arrays
from dashdeploy.data.arrays.objects import as_array
from dashdeploy.data.arrays.sizes import SAID_OF_SIZES, differ_in_size
from dashdeploy.data.arrays.splitting import chosen_for_test, note_of_test_part, said_of_test_part
from dashdeploy.data.arrays.stored import StoredArray, in_memory_if_they_fit, stored_or_not
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.class_labels import classes_of, plain_text
from dashdeploy.data.losses import loss_by_name
from dashdeploy.data.metrics import metric_by_name
from dashdeploy.data.missing_values import Missing
from dashdeploy.data.scaling.informative import how_by_itself
from dashdeploy.data.scaling.scaling import Normalize, scaling_of
from dashdeploy.data.task import Kind, Split, Task, hold_out

VALIDATION_SHARE = 0.15
FEWEST_TRAINING_SAMPLES = 8


@dataclass(frozen=True)
class DataOptions:
    """How a data file becomes a task.

    Attributes:
        predict: what to predict; None follows the file, or means classification.
        loss: one of ``dashdeploy.data.losses.LOSSES``; None is the default of the kind.
        metric: one of ``dashdeploy.data.metrics.METRICS``; None is the default of the kind.
        normalize: ``channels`` scales every input channel, and every number to predict, to mean 0 and deviation 1
            over the training data; ``samples`` scales every channel of every sample by itself; ``sizes`` does so too
            and gives the network their levels and sizes as further channels; ``none`` leaves both. None is ``sizes``
            where series differ in size by orders of magnitude (`dashdeploy.data.arrays.sizes`), or ``samples`` where
            that says nothing of their classes (`dashdeploy.data.scaling.informative`). Otherwise it scales those
            channels that are far from it (`dashdeploy.data.scaling.affine.where_far`).
        lengths: how to handle series of different lengths: ``pad`` fills the end with each channel's mean over
            the training data, or over the series itself where that is scaled by itself; ``resample``
            interpolates linearly to the longest training series. None pads, and where most of the training data
            would be padding, it cuts those that are longer than 98 % of the training series.
        missing: how to handle missing values of the inputs: ``interpolate`` draws straight lines along the series,
            ``mean`` takes the channel's mean over the training data, ``refuse`` accepts none. None interpolates
            those of ``.ts`` files, tables and WFDB records, which have a sign for them, and refuses NaN in arrays.
        timestamps: how to handle ``.ts`` files whose values have time stamps: ``resample`` interpolates linearly on
            an even grid whose step is the median one of the training data.
        image_size: height and width that images in folders are resized to; None takes images of one size.
        layout: of arrays with an axis of channels: ``channels-first``, [n, channels, …], or ``channels-last``,
            [n, …, channels]. None is channels first, and a note where they do not look like it.
        target_column: for tables: the column to predict, by name or index (0 is the first, -1 the last).
            None is the last column, or the first of a pair of the UCR archive's text files.

    Example:
        ::

            options = dashdeploy.DataOptions(predict="regression", normalize="channels")
            task = dashdeploy.load_data("signals.npz", options=options)
    """

    predict: Kind | None = None
    loss: str | None = None
    metric: str | None = None
    normalize: Normalize | None = None
    lengths: Literal["pad", "resample"] | None = None
    missing: Missing | None = None
    timestamps: Literal["refuse", "resample"] = "refuse"
    image_size: tuple[int, int] | None = None
    layout: Layout | None = None
    target_column: str | int | None = None

    @property
    def how_lengths(self) -> HowLengths:
        """How several lengths become one. Padding must not count where a series is scaled by itself."""
        by_itself = self.normalize in ("samples", "sizes")
        return HowLengths(self.lengths or "pad", own_mean=by_itself, cuts=self.lengths is None)


def task_from_arrays(
    name: str,
    where: object,
    arrays: Mapping[str, Any],
    options: DataOptions | None = None,
    *,
    seed: int = 0,
    source: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    validation_share: float = VALIDATION_SHARE,
    notes: Sequence[str] = (),
    called: Mapping[str, str] | None = None,
    missing: Missing = "refuse",
    lengths: Lengths | None = None,
    padding: bool = True,
) -> Task:
    """Check the arrays and make a task of them.

    Args:
        name: of the task.
        where: what the arrays came from, for messages.
        arrays: x_train, y_train, x_test, y_test under these or other names (`dashdeploy.data.arrays.names`), both or
            none of x_val and y_val, and perhaps ``labels``, the names of classes. Classes may be called anything, see
            `dashdeploy.data.class_labels`. Without test arrays, a fifth of the samples becomes the test part.
        options: what is predicted, the loss, the metric, the scaling.
        seed: chooses what is held out of the training data for validation, where x_val and y_val are absent, and for
            the test, where x_test and y_test are absent.
        source: for the record; the arrays' sha256 is added where it has none, so that a resumed run sees whether they
            are the same.
        settings: search settings that suit the data, by preset.
        validation_share: the part of the training data that is held out.
        notes: what was made of the data before, for `Task.notes`.
        called: what messages call an array, where the user knows it by something else than its name in `arrays`.
        missing: what becomes of missing values unless the options say it.
        lengths: of the series of each split, where they have several and are padded with whatever behind these.
        padding: whether NaN at the end of series is padding if training series have it, where `lengths` say nothing;
            otherwise it is missing like any other.

    Raises:
        InputError: an array cannot be used; the message names it and the fix.
    """
    options = options or DataOptions()
    kind = options.predict or "classification"
    if options.target_column is not None:
        refuse(
            where,
            "it is not a table, so it has no columns",
            f"leave out `target_column={options.target_column}`",
        )
    if options.timestamps != "refuse":
        refuse(where, "it is not a .ts file, so it has no time stamps", "leave out `timestamps=resample`")
    if options.image_size is not None:
        refuse(where, "it is not a folder of images", "leave out `image_size`")
    known = names_of_arrays(where, list(arrays), "save it as numpy.savez(path, {}=…)")
    called = {**known, **(called or {})}
    settled = in_memory_if_they_fit(
        {each: as_array(where, called[each], stored_or_not(arrays[found])) for each, found in known.items()}
    )
    as_given = {
        each: array if each[0] == "x" or isinstance(array, StoredArray) else plain_text(array)
        for each, array in settled.items()
    }
    laid, said = in_channels_first(where, as_given, called, options.layout)
    names = [each for each in ("train", "test", "val") if f"x_{each}" in laid]
    plain = {each: array for each, array in laid.items() if not isinstance(array, StoredArray)}
    how = options.missing or missing
    found_inputs, lengths, noticed = checked_inputs_of_all(
        where, {each: laid[f"x_{each}"] for each in names}, called, lengths, how, padding=padding
    )
    inputs: Mapping[str, Array | StoredArray] = found_inputs
    notes = (*notes, *noticed)
    counts = {each: len(array) for each, array in inputs.items()}
    targets, dense = checked_targets_of_all(
        where, plain, called, names, kind, inputs["train"].shape[2:], counts
    )
    notes, recorded = (*notes, *said), _with_sha256(source or {}, as_given)
    if options.layout == "channels-last":
        recorded = {**recorded, "layout": options.layout}
    class_notes: tuple[str, ...] = ()
    if kind == "classification":
        classes = classes_of(where, targets, names_of_classes(where, plain.get(LABELS)), called)
        labels, targets, class_notes = classes.labels, classes.targets, classes.notes
        outputs = len(labels)
    else:
        outputs = int(targets["train"].shape[1])
        labels = names_of_labels(where, plain.get(LABELS), kind, outputs)
    if "test" not in targets:
        per_class = kind == "classification" and not dense
        test = chosen_for_test(targets["train"] if per_class else None, counts["train"], seed)
        inputs, targets = with_test_part(inputs, test), with_test_part(targets, test)
        lengths = lengths and with_test_part(lengths, test)
        chosen = said_of_test_part("stratified" if per_class else "random", seed)
        recorded = {**recorded, "test_split": chosen}
        notes = (*notes, note_of_test_part(chosen))
    if len(inputs["train"]) < FEWEST_TRAINING_SAMPLES:
        to_train = f" ({len(inputs['train'])} without the test part)" if "test" not in names else ""
        refuse(
            where,
            f"{called['x_train']} has {counts['train']} samples{to_train}",
            f"training needs at least {FEWEST_TRAINING_SAMPLES}",
        )
    by_itself = not dense and _differ_in_size(inputs["train"], lengths, kind, options)
    if by_itself:  # with or without its size, which only what is trained on tells; both are padded alike
        options = replace(options, normalize="samples")
    tensors, said, filled = whole_inputs(where, inputs, lengths, how, options.how_lengths)
    if filled:
        recorded = {**recorded, "missing": how}
    splits = {
        each: Split(tensors[each], torch.from_numpy(np.ascontiguousarray(targets[each]))) for each in tensors
    }
    train, validation = splits["train"], splits.get("val")
    if validation is None:
        train, validation = hold_out(train, validation_share, seed, kind)
        if not len(validation.targets):
            refuse(
                where,
                f"{called['y_train']} has no class with two samples, so none can be held out for validation",
                "add x_val and y_val",
            )
    if by_itself:
        scaled = how_by_itself(train.inputs, train.targets)
        options, said = replace(options, normalize=scaled), (*said, SAID_OF_SIZES[scaled])
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
        source=recorded,
        settings=settings,
        notes=(*notes, *said, *class_notes),
        scale_what_is_far=True,
    )


def _differ_in_size(
    inputs: Array | StoredArray, lengths: Lengths | None, kind: Kind, options: DataOptions
) -> bool:
    """`differ_in_size` of series in memory that have classes, unless the options say how they are scaled."""
    if isinstance(inputs, StoredArray) or inputs.ndim != 3 or kind != "classification" or options.normalize:
        return False
    ends = [inputs.shape[-1]] * len(inputs) if lengths is None else lengths["train"]
    return differ_in_size([each[:, :end] for each, end in zip(inputs, ends, strict=True)])


def _with_sha256(source: Mapping[str, str], arrays: Mapping[str, Array | StoredArray]) -> Mapping[str, str]:
    """The source with the sha256 of the arrays' names, types, shapes and values, where it lacks its files' own."""
    if "sha256" in source:
        return source
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        for block in (rows for _, rows in array.blocks()) if isinstance(array, StoredArray) else [array]:
            digest.update(np.ascontiguousarray(block).reshape(-1).view(np.uint8).data)
    return {**source, "sha256": digest.hexdigest()}


def make_task(
    name: str,
    kind: Kind,
    outputs: int,
    train: Split,
    validation: Split,
    test: Split | None,
    options: DataOptions | None = None,
    *,
    dense: bool = False,
    labels: Sequence[str] = (),
    source: Mapping[str, str] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Sequence[str] = (),
    scale_what_is_far: bool = False,
) -> Task:
    """A task of splits that are known to be good; scaled as the options say, by the training split alone.

    Where they say nothing of it, it is scaled only with `scale_what_is_far`: published tasks are what they are.

    Raises:
        InputError: the options name a loss or metric that the kind does not have.
    """
    options = options or DataOptions()
    how = options.normalize or (None if scale_what_is_far else "none")
    scaling = scaling_of(train.inputs, train.targets if kind == "regression" else None, how)
    if scaling and options.normalize is None:
        what = (
            "inputs and targets"
            if scaling.inputs and scaling.outputs
            else "inputs"
            if scaling.inputs
            else "targets"
        )
        notes = (
            *notes,
            f"{what} far from mean 0 and deviation 1 are scaled to that, by channel; `normalize=none` leaves them",
        )
    if scaling:

        def scaled(split: Split) -> Split:
            return Split(scaling.scale_inputs(split.inputs), scaling.scale_outputs(split.targets))

        train, validation = scaled(train), scaled(validation)
        test = None if test is None else scaled(test)
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
