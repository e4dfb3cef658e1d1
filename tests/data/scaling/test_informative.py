"""Whether levels and sizes of samples differ, and tell their classes apart."""

import numpy as np
import pytest
import torch

from dashdeploy.data.lazy_inputs import lazy
from dashdeploy.data.scaling.informative import samples_differ, sizes_tell_classes


def series(levels, sizes, seed=0):
    noise = np.random.default_rng(seed).standard_normal((len(sizes), 1, 40))
    return torch.from_numpy(
        noise * np.asarray(sizes)[:, None, None] + np.asarray(levels)[:, None, None]
    ).float()


def test_chance_is_not_taken_for_more():
    """One of 200 is expected to pass."""
    passed = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        x = series(10 ** generator.uniform(-3, 3, 40), 10 ** generator.uniform(-3, 3, 40), seed)
        passed += sizes_tell_classes(x, torch.from_numpy(generator.integers(0, 3, 40)))
    assert passed <= 3  # of 100; four or more have a probability of 0.0016


@pytest.mark.parametrize("by", ["level", "size"])
@pytest.mark.parametrize(("classes", "samples"), [(2, 20), (6, 60), (10, 2500)])
def test_classes_that_follow_the_level_or_the_size_are_found(by, classes, samples):
    generator = np.random.default_rng(0)
    y = np.arange(samples) % classes
    own = 10 ** (6 * (y + generator.uniform(0, 1, samples)) / classes - 3)
    other = 10 ** generator.uniform(-1, 1, samples)
    x = series(own, other) if by == "level" else series(other, own)
    assert sizes_tell_classes(x, torch.from_numpy(y))


def test_what_all_have_says_nothing():
    """Samples in the order of their classes, all of one level, and of one size but for rounding."""
    x = series(np.zeros(40), np.ones(40))
    x = (x - x.mean(2, keepdim=True)) / x.std(2, keepdim=True, correction=0)
    assert not sizes_tell_classes(x, torch.arange(40) // 10)


def test_an_order_of_the_samples_says_nothing():
    generator = np.random.default_rng(0)
    x = series(10 ** generator.uniform(-3, 3, 50), 10 ** generator.uniform(-3, 3, 50))
    y = torch.from_numpy(generator.integers(0, 2, 50))
    order = torch.from_numpy(generator.permutation(50))
    assert not sizes_tell_classes(x, y) and not sizes_tell_classes(x[order], y[order])


def scaled(x):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)


@pytest.mark.parametrize(
    ("differ", "change"),
    [
        (True, lambda x: x),
        (False, scaled),
        (False, lambda x: 5 + 1e3 * scaled(x) * (1 + 1e-3 * torch.rand(len(x), 1, 1))),  # rounded on the way
        (True, lambda x: scaled(x) + torch.rand(len(x), 1, 1)),
        (True, lambda x: scaled(x) * (1 + torch.rand(len(x), 1, 1))),
        (True, lambda x: torch.cat([scaled(x), x], 1)),  # only one of two channels
        (False, lambda x: torch.cat([(x > 0).float(), 3 * (x < 0) - 1.5], 1)),  # letters, scaled by channel
        (False, torch.zeros_like),
        (True, lambda x: x * (torch.arange(len(x)) % 2)[:, None, None]),  # half of them constant
    ],
)
def test_samples_differ_by_their_levels_and_sizes(differ, change):
    x = torch.randn(30, 1, 40, generator=torch.Generator().manual_seed(0))
    assert samples_differ(change(x)) == differ


def test_of_large_lazy_data_a_few_samples_tell():
    made = []

    def make(index):
        made.append(index)
        return torch.randn(1, 2**20) * (1 + index)

    assert samples_differ(lazy((1000, 1, 2**20), make))
    assert len(set(made)) <= 16
