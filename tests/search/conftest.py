"""A task that trains in a second, settings as small as they can be, and a disk that is full."""

import resource
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from dashdeploy.data.readers.npz import load_npz
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings

SMALL = {
    "width": 4,
    "kernel_sizes": (3, 4),
    "dilations": (1, 3),
    "batch_size": 16,
    "search_epochs": 12,
    "retrain_epochs": 12,
    "shortlist": 1,
    "shortlist_folds": 1,
    "shortlist_parts": 3,
    "shortlist_by": "metric",
    "shortlist_margin": 1.0,
    "refit": False,
    "learning_rate": 0.03,
    "label_smoothing": 0.0,
    "precision": "32-true",
    "seed": 7,
    "towers": 1,
    "reparameterize": False,
    "scale_samples": False,
    "devices": "cpu",
}


@pytest.fixture(scope="session")
def waves_file(tmp_path_factory):
    """Sine waves of three frequencies under noise."""
    generator = np.random.default_rng(0)
    time = np.arange(24) / 24

    def split(count):
        labels = np.arange(count) % 3
        phase = generator.uniform(0, 2 * np.pi, (count, 1))
        waves = np.sin(2 * np.pi * (2 * labels[:, None] + 1) * time + phase)
        return (waves + 0.2 * generator.standard_normal(waves.shape))[:, None, :], labels

    (x_train, y_train), (x_test, y_test) = split(90), split(60)
    path = tmp_path_factory.mktemp("data") / "waves.npz"
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="session")
def waves_task(waves_file):
    return load_npz(waves_file, seed=7)


@pytest.fixture(scope="session")
def small(waves_task):
    return run_settings(waves_task, SearchSettings.preset("quick", **SMALL))


@contextmanager
def on_one_thread():
    """The same sums in the same order, whatever the machine; and two threads wait for each other if it is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_thread():
    with on_one_thread():
        yield


@pytest.fixture(scope="session")
def finished(waves_task, small, tmp_path_factory):
    """An uninterrupted run."""
    from dashdeploy.search.pipeline import search

    with on_one_thread():  # `one_thread` is not there yet
        return search(waves_task, small, tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture
def room_for(monkeypatch):
    """Within ``with room_for(size)`` no file can grow beyond `size` bytes, as on a disk that is full.

    It is the kernel's own limit. What Python itself would write meanwhile is the code of modules imported for the
    first time, which it does not notice to be cut short.
    """

    @contextmanager
    def limit(size):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


@pytest.fixture(scope="session")
def calibration_error_bin_by_bin():
    """Guo et al. (ICML 2017), equation 3: of probabilities [n, classes] and targets [n]."""

    def error(probabilities, targets, bins=15):
        confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
        total = 0.0
        for low in range(bins):
            inside = (confidence > low / bins) & (confidence <= (low + 1) / bins)
            if inside.any():
                total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        return total

    return error
