"""Example inputs have the least length that a model runs on, and none that a machine cannot hold is tried."""

from math import prod

import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.runtimes.example_inputs import ExampleInputs


def image(*axes):
    return [TensorSpec(name="x", shape=("batch", 3, *axes), dtype="float32")]


@pytest.mark.parametrize("least", [1, 2, 41, 1000])
def test_the_least_length_is_found(least):
    def run(feeds):
        if feeds["x"].shape[2] < least:
            raise ValueError

    assert ExampleInputs.of(run, image("n")).length == least


@pytest.mark.parametrize("axes", [("n",), ("h", "w"), ("d", "h", "w")])
def test_a_model_that_runs_on_no_length_is_given_up_before_memory_is(axes):
    tried = []

    def run(feeds):
        tried.append(prod(feeds["x"].shape))
        raise ValueError

    assert ExampleInputs.of(run, image(*axes)).length == 1
    assert max(tried) <= 2**24
    assert max(tried) > 2**24 // 2 ** len(axes) or len(axes) == 1
