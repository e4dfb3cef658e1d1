"""Whether the arrays of a data set fit each other: inputs with inputs, targets with inputs, names with targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, checked_targets, refuse, shown
from dashdeploy.data.task import Kind

Called = Mapping[str, str]
"""What the user calls each array, by its name here."""


def check_inputs_agree(
    where: object, inputs: Mapping[str, Array] | Mapping[str, StoredArray], called: Called
) -> None:
    """Refuse splits whose samples have different shapes.

    Raises:
        InputError: one has another shape than the training samples.
    """
    expected = inputs["train"].shape[1:]
    for name, array in inputs.items():
        if array.shape[1:] != expected:
            refuse(
                where,
                f"{called[f'x_{name}']} has samples of shape {shown(array.shape[1:])} but {called['x_train']} of "
                f"shape {shown(expected)}",
                "use the same channels and length everywhere",
            )


def checked_targets_of_all(
    where: object,
    arrays: Mapping[str, Array],
    called: Called,
    names: Sequence[str],
    kind: Kind,
    spatial: tuple[int, ...],
    counts: Mapping[str, int],
) -> tuple[dict[str, Array], bool]:
    """Targets as `Split` has them, by split, and whether they are dense.

    Args:
        where: what they came from, for messages.
        arrays: with y_train and so on.
        called: what the user calls these.
        names: of the splits.
        kind: what the targets are meant to be.
        spatial: the inputs' spatial axes.
        counts: samples of each split.

    Raises:
        InputError: they are not what `kind` needs, or differ in number or in shape.
    """
    checked = {
        each: checked_targets(where, called[f"y_{each}"], arrays[f"y_{each}"], kind, spatial)
        for each in names
    }
    for each, (array, dense) in checked.items():
        if counts[each] != len(array):
            refuse(
                where,
                f"{called[f'x_{each}']} has {counts[each]} samples but {called[f'y_{each}']} has {len(array)}",
                "give every sample one target",
            )
        same = array.shape[1:] == checked["train"][0].shape[1:] and dense == checked["train"][1]
        if not same:
            refuse(
                where,
                f"{called[f'y_{each}']} has targets of shape {shown(array.shape[1:])} but {called['y_train']} of "
                f"shape {shown(checked['train'][0].shape[1:])}",
                "use the same shape everywhere",
            )
    return {each: array for each, (array, _) in checked.items()}, checked["train"][1]


def names_of_classes(where: object, names: Array | None) -> Array | None:
    """`names`, if they are names of classes.

    Raises:
        InputError: they are not text, or have other axes.
    """
    if names is not None and (names.dtype.kind not in "Uiu" or names.ndim != 1):
        refuse(
            where,
            f"labels has dtype {names.dtype} and shape {shown(names.shape)}",
            "give one name for each class, as text",
        )
    return names


def names_of_labels(where: object, names: Array | None, kind: Kind, outputs: int) -> tuple[str, ...]:
    """Names of the labels that a sample has any number of; none for numbers.

    Raises:
        InputError: there are more or fewer names than labels.
    """
    if kind == "regression":
        return ()
    names = names_of_classes(where, names)
    if names is None:
        return tuple(str(index) for index in range(outputs))
    if len(names) != outputs:
        refuse(where, f"labels has {len(names)} names", f"give one for each of the {outputs} labels")
    return tuple(str(each) for each in names)
