"""``--task module:factory``: a task that a function of the user's own makes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np

from dashdeploy.data.from_arrays import task_from_arrays
from dashdeploy.data.options import DataOptions
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.references import load_reference


def load_factory(reference: str, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Call what `reference` names, with ``seed=seed`` if it has such a parameter.

    Args:
        reference: ``module:factory``. It returns a `Task`, or a mapping of the arrays that an ``.npz`` file holds.
        seed: chooses what is held out of the training data for validation.
        options: for arrays: what is predicted, the loss, the metric, the scaling.

    Raises:
        InputError: there is no such function, it fails, or returns something else.
    """
    factory = load_reference("--task", reference)
    where = f"--task {reference}"
    try:
        takes_seed = "seed" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        takes_seed = False
    try:
        made = factory(seed=seed) if takes_seed else factory()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where}: it fails with {type(error).__name__}: {error}; mend it") from error
    if isinstance(made, Task):
        if options is not None and options != DataOptions():
            raise InputError(
                f"{where}: it returns a whole Task, which has its own loss, metric and scaling; leave out --predict, "
                "--loss, --metric and --normalize, or return the arrays"
            )
        return made
    if not isinstance(made, Mapping):
        raise InputError(
            f"{where}: it returns a {type(made).__name__}; return a Task, or a mapping with x_train, "
            "y_train, x_test and y_test"
        )
    arrays = {str(name): np.asarray(array) for name, array in made.items()}
    source = {"factory": reference}
    return task_from_arrays(reference.partition(":")[2], where, arrays, options, seed=seed, source=source)
