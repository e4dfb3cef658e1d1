"""MNIST-1D: 40-point series that stand for the ten digits.

S. Greydanus, D. Kobak, "Scaling down deep learning with MNIST-1D", ICML 2024. The package ``mnist1d``
generates the 4000 training and 1000 test series with a fixed seed, so nothing is downloaded.
"""

from __future__ import annotations

import random
from importlib.metadata import version

import numpy as np
import torch

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.tasks.task import Split, Task, classification, hold_out

VALIDATION_SHARE = 0.125  # 500 of the 4000 training series


def load_mnist1d(seed: int) -> Task:
    """Generate MNIST-1D; `seed` chooses which training series are held out for validation.

    Raises:
        MissingCapabilityError: the package ``mnist1d`` is not installed.
    """
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise MissingCapabilityError(
            "the task mnist1d needs the package mnist1d; install it with: pip install 'dashdeploy[tasks]'"
        ) from error
    # The generator seeds the global random state; give it back as it was.
    states = random.getstate(), np.random.get_state()
    try:
        data = make_dataset(get_dataset_args())
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])

    def split(inputs: str, targets: str) -> Split:
        x = torch.from_numpy(data[inputs]).float().unsqueeze(1)
        return Split(x, torch.from_numpy(data[targets]).long())

    train, validation = hold_out(split("x", "y"), VALIDATION_SHARE, seed)
    return classification(
        "mnist1d",
        tuple(str(digit) for digit in range(10)),
        train=train,
        validation=validation,
        test=split("x_test", "y_test"),
        source={"package": f"mnist1d {version('mnist1d')}"},
    )
