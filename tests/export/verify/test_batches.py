"""Any number of samples through models of free and of fixed batch."""

import numpy as np
import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.export.verify.batches import batch_of_bytes, fixed_batch, run_on_all, split


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


@pytest.mark.parametrize("rows", ["samples", "none"])
def test_large_samples_are_run_a_few_at_a_time(rows):
    sizes = []

    def run(feeds):
        sizes.append(len(feeds["x"]))
        total = feeds["x"].sum(axis=1)
        return {"y": total if rows == "samples" else total.sum(keepdims=True)}

    x = np.random.default_rng(0).standard_normal((11, 2**16)).astype("f4")  # 256 KiB each: four are a MiB
    y = run_on_all(run, [spec("n", 2**16)], {"x": x})["y"]
    if rows == "samples":
        assert np.array_equal(y, x.sum(axis=1))
        assert sizes == [4, 4, 4]
    else:  # what is not a row for each sample needs all of them in one call
        assert y == pytest.approx(x.sum(), abs=0.1)
        assert sizes == [4, 11]


def test_states_beside_another_axis_are_one_call():
    specs = [spec("n", 2**20), spec(2, "n", name="h")]
    sizes = []

    def run(feeds):
        sizes.append(len(feeds["x"]))
        return {"y": feeds["x"][:, :1]}

    run_on_all(run, specs, {"x": np.zeros((5, 2**20), "f4"), "h": np.zeros((2, 5), "f4")})
    assert sizes == [5]


def test_bytes_of_a_batch():
    feeds = {"x": np.zeros((9, 100), "f4"), "z": np.zeros((9, 25), "f4"), "rate": np.array(8000)}
    assert batch_of_bytes(feeds, 1600) == 3
    assert batch_of_bytes(feeds, 10) == 1
    assert [len(part["x"]) for part in split(feeds, 4)] == [4, 4, 4]
