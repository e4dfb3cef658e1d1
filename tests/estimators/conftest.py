"""Estimators that train in half a second, and data that they learn in two."""

import numpy as np
import pytest
import torch

LITTLE = {
    "width": 4,
    "kernel_sizes": (3, 5),
    "dilations": (1, 3),
    "search_epochs": 1,
    "retrain_epochs": 1,
    "settings": {"shortlist": 1, "backbone_epochs": 1},
    "devices": "cpu",
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def one_thread():
    """The same sums in the same order, whatever the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def little():
    """Parameters of an estimator whose training is over in half a second."""
    return LITTLE


@pytest.fixture(scope="session")
def series():
    """Sine waves [60, 2, 24] of three frequencies under noise, and the frequencies."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    phase = generator.uniform(0, 2 * np.pi, (60, 2, 1))
    waves = np.sin(2 * np.pi * (2 * labels[:, None, None] + 1) * np.arange(24) / 24 + phase)
    return waves + 0.1 * generator.standard_normal(waves.shape), labels
