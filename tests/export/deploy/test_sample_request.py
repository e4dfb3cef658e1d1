"""The sample of a bundle is a request that can be sent as it is."""

import json

import numpy as np
import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.export.deploy.sample_request import write_sample_request
from dashdeploy.runtimes.example_inputs import ExampleInputs


def written(tmp_path, specs, samples=None):
    write_sample_request(tmp_path, ExampleInputs(tuple(specs)), samples or {})
    file = tmp_path / "sample.json"
    return json.loads(file.read_text())["inputs"] if file.exists() else None


@pytest.mark.parametrize("dtype, datatype", [("float32", "FP32"), ("float16", "FP16"), ("int64", "INT64")])
def test_the_first_real_example_comes_back_exactly(tmp_path, dtype, datatype):
    x = (100 * np.random.default_rng(0).standard_normal((7, 2, 30))).astype(dtype)
    (tensor,) = written(tmp_path, [TensorSpec(name="x", shape=("batch", 2, 30), dtype=dtype)], {"x": x})
    assert (tensor["name"], tensor["shape"], tensor["datatype"]) == ("x", [1, 2, 30], datatype)
    np.testing.assert_array_equal(np.array(tensor["data"], dtype).reshape(1, 2, 30), x[:1])


def test_floats_are_short(tmp_path):
    x = np.full((1, 3), 0.1, np.float32)
    written(tmp_path, [TensorSpec(name="x", shape=("batch", 3), dtype="float32")], {"x": x})
    assert "[0.1, 0.1, 0.1]" in (tmp_path / "sample.json").read_text()


def test_without_examples_there_are_random_numbers_of_a_shape_that_runs(tmp_path):
    specs = [
        TensorSpec(name="a", shape=("batch", 4), dtype="float32"),
        TensorSpec(name="b", shape=(3, 2), dtype="bool"),
    ]
    a, b = written(tmp_path, specs)
    assert (a["shape"], b["shape"], len(a["data"]), len(b["data"])) == ([1, 4], [3, 2], 4, 6)
    assert set(map(type, b["data"])) == {bool}
    assert len(set(a["data"])) == 4


def test_a_large_input_has_no_sample(tmp_path):
    assert written(tmp_path, [TensorSpec(name="x", shape=("batch", 3, 512, 512), dtype="float32")]) is None
