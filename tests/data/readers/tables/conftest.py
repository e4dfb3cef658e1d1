"""A small data set, as the tables of these tests hold it."""

import numpy as np
import pytest


class Table:
    """Values [n, length] and classes, and the same as rows of Python's own."""

    def __init__(self, count, length=5, seed=0):
        self.x = np.random.default_rng(seed).standard_normal((count, length))
        self.y = np.array(["up", "down", "left"])[np.arange(count) % 3]

    def all_samples(self, task):
        """Compare every sample of a task that was split with what went in, value by value."""
        expected = {np.float32(row[0]): (row, label) for row, label in zip(self.x, self.y, strict=True)}
        seen = 0
        for inputs, targets in (task.train, task.validation, task.test):
            for row, target in zip(inputs.numpy(), targets.tolist(), strict=True):
                values, label = expected[row[0, 0]]
                np.testing.assert_array_equal(row[0], values.astype(np.float32), strict=True)
                assert task.labels[target] == label
                seen += 1
        assert seen == len(self.x)


@pytest.fixture
def table():
    return Table(30)


@pytest.fixture
def tables():
    return Table(24), Table(9, seed=1)
