"""Any number of samples through models of free and of fixed batch."""

import numpy as np
import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.export.verify.batches import fixed_batch, run_on_all


def spec(*shape, name="x"):
    return TensorSpec(name=name, shape=shape, dtype="float32")


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([spec("batch", 3)], None),
        ([spec(4, 3)], 4),
        ([spec(4, 3), spec(4, 9, name="z")], 4),
        ([spec(4, 3), spec("batch", 9, name="z")], None),
        ([spec(4, 3), spec(5, 9, name="z")], None),
        ([spec()], None),
    ],
)
def test_a_fixed_batch_is_recognized(specs, expected):
    assert fixed_batch(specs) == expected


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_all_samples_come_out_once_and_in_order(count):
    sizes = []

    def run(feeds):
        sizes.append(len(feeds["x"]))
        return {"y": feeds["x"] * 2}

    x = np.arange(count * 3, dtype="f4").reshape(count, 3)
    assert np.array_equal(run_on_all(run, [spec(4, 3)], {"x": x})["y"], 2 * x)
    assert set(sizes) == {4}
    sizes.clear()
    run_on_all(run, [spec("n", 3)], {"x": x})
    assert sizes == [count]
