"""MNIST-1D: 40-point series that stand for the ten digits.

S. Greydanus, D. Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024. The package ``mnist1d``
generates the 4000 training and 1000 test series with a fixed seed, so nothing is downloaded.
"""

from __future__ import annotations

import random
from importlib.metadata import version

import numpy as np
import torch

from dashdeploy.data.from_arrays import make_task
from dashdeploy.data.task import Split, Task, hold_out
from dashdeploy.errors import MissingCapabilityError

VALIDATION_SHARE = 0.125  # 500 of the 4000 training series


def load_mnist1d(seed: int) -> Task:
    """Generate MNIST-1D; `seed` chooses which training series are held out for validation.

    Raises:
        MissingCapabilityError: the package ``mnist1d`` is not installed.
    """
    return _generate("mnist1d", seed, shuffled=False)


def load_mnist1d_shuffled(seed: int) -> Task:
    """The same series with their points in one random order: what is left has no spatial structure.

    Raises:
        MissingCapabilityError: the package ``mnist1d`` is not installed.
    """
    return _generate("mnist1d_shuffled", seed, shuffled=True)


def _generate(name: str, seed: int, *, shuffled: bool) -> Task:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise MissingCapabilityError(
            f"the task {name} needs the package mnist1d; install it with: pip install 'dashdeploy[tasks]'"
        ) from error
    # The generator seeds the global random state; give it back as it was.
    states = random.getstate(), np.random.get_state()
    try:
        settings = get_dataset_args()
        settings.shuffle_seq = shuffled
        data = make_dataset(settings)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])

    def split(inputs: str, targets: str) -> Split:
        x = torch.from_numpy(data[inputs]).float().unsqueeze(1)
        return Split(x, torch.from_numpy(data[targets]).long())

    train, validation = hold_out(split("x", "y"), VALIDATION_SHARE, seed)
    return make_task(
        name,
        "classification",
        10,
        train,
        validation,
        split("x_test", "y_test"),
        labels=tuple(str(digit) for digit in range(10)),
        source={"package": f"mnist1d {version('mnist1d')}"},
    )
