"""What is learned: the built-in tasks by name, and tasks from a user's own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from dashdeploy.errors import InputError
from dashdeploy.tasks.mnist1d import load_mnist1d
from dashdeploy.tasks.npz import load_npz
from dashdeploy.tasks.task import Metric, Split, Task

__all__ = ["TASKS", "Metric", "Split", "Task", "load_npz", "load_task"]

TASKS: Mapping[str, str] = {
    "mnist1d": "MNIST-1D: ten digits as series of 40 points, 4000 to train and 1000 to test (needs mnist1d)",
}
"""The built-in tasks, each with one line on what it is."""

_LOADERS: Mapping[str, Callable[[int], Task]] = {"mnist1d": load_mnist1d}


def load_task(name: str, *, seed: int = 0) -> Task:
    """Load the built-in task `name`.

    Args:
        name: one of `TASKS`.
        seed: chooses what is held out of the training data for validation.

    Raises:
        InputError: there is no such task.
        MissingCapabilityError: the package that holds its data is not installed.
    """
    loader = _LOADERS.get(name)
    if loader is None:
        close = get_close_matches(name, TASKS, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(TASKS))}"
        raise InputError(f"--task {name}: no such task; {hint}")
    return loader(seed)
