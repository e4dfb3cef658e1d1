"""Recordings that are read by the batch, beside the same ones in memory."""

import numpy as np
import pytest

from dashdeploy.data.arrays import stored
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.lazy_inputs import LazyInputs
from dashdeploy.data.readers.data_files import load_data


@pytest.fixture
def whole():
    """All samples of inputs, lazy ones too."""
    return lambda inputs: inputs[: len(inputs)].numpy()


@pytest.fixture
def same_by_the_batch(monkeypatch, whole):
    """Read a path in memory and by the batch, and compare every number."""

    def check(path, options=None):
        options = options or DataOptions(normalize="channels")
        expected = load_data(path, options=options)
        monkeypatch.setattr(stored, "MOST_BYTES_IN_MEMORY", 0)
        task = load_data(path, options=options)
        assert isinstance(task.train.inputs, LazyInputs)
        assert (task.scaling, task.notes, task.source) == (expected.scaling, expected.notes, expected.source)
        for name in ("train", "validation", "test"):
            assert np.array_equal(whole(getattr(task, name).inputs), getattr(expected, name).inputs.numpy())

    return check
