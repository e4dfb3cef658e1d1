"""A task of the arrays that a Python program holds: `dashdeploy.task_from`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.task import Task

_CALLED = {
    "x_train": "X",
    "y_train": "y",
    "x_test": "X_test",
    "y_test": "y_test",
    "x_val": "X_val",
    "y_val": "y_val",
    "labels": "labels",
}


def task_from(
    X: Any,  # noqa: ANN401 - see Args
    y: Any,  # noqa: ANN401 - as above
    X_test: Any = None,  # noqa: ANN401 - as above
    y_test: Any = None,  # noqa: ANN401 - as above
    X_val: Any = None,  # noqa: ANN401 - as above
    y_val: Any = None,  # noqa: ANN401 - as above
    *,
    labels: Sequence[str] | None = None,
    name: str = "arrays",
    seed: int = 0,
    options: DataOptions | None = None,
) -> Task:
    """Make a task of inputs and targets, for ``dashdeploy.search(task_from(X, y), out="run")``.

    Args:
        X: training inputs, [n, channels, length], [n, length] or [n, channels, height, width]: an array, a torch
            tensor, a data frame of numbers (one sample in each row), a data frame whose cells are series (each column
            a channel), or a list of series of several lengths, each [length] or [channels, length]. NaN at the end of
            series is padding, NaN inside is a missing value (`DataOptions.missing`).
        y: training targets, [n] for classes under any name.
        X_test: test inputs; without these, a fifth of the samples is kept for the test.
        y_test: test targets.
        X_val: validation inputs; without these, some of the training samples are held out.
        y_val: validation targets.
        labels: names of the classes by index.
        name: of the task.
        seed: chooses what is kept for the test and for validation; give the search the same.
        options: what is predicted, the loss, the metric, the scaling, the layout of the axes.

    Returns:
        The task: its splits, inputs [n, channels, *spatial] in float32, and what the network is to give.

    Raises:
        InputError: an array cannot be used; the message names it and the fix.

    Example:
        A quick search on a data frame's columns::

            task = dashdeploy.task_from(frame.drop(columns="label"), frame["label"])
            run = dashdeploy.search(task, out="run")
    """
    given = (X, y, X_test, y_test, X_val, y_val, labels)
    arrays = {each: value for each, value in zip(_CALLED, given, strict=True) if value is not None}
    return task_from_arrays(name, "data", arrays, options, seed=seed, called=_CALLED)
