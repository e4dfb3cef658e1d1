"""A client's mistake is answered with 400, never with 500: inputs that disagree, what JSON clients leave empty."""

import http.client
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory, write, start_server):
    """A server with one model, y = x * k, whose inputs share the batch axis N."""
    folder = write.bundle(
        tmp_path_factory.mktemp("bundles") / "two",
        [helper.make_node("Mul", ["x", "k"], ["y"])],
        [("x", TensorProto.FLOAT, ["N", 2]), ("k", TensorProto.FLOAT, ["N", 1])],
        [("y", TensorProto.FLOAT, ["N", 2])],
    )
    with start_server([folder]) as running:
        yield running


def tensor(name, shape):
    return {"name": name, "shape": shape, "datatype": "FP32", "data": [2.0] * int(np.prod(shape))}


def ask(running, content):
    connection = http.client.HTTPConnection(running.http, timeout=30)
    try:
        connection.request("POST", "/v2/models/two/infer", json.dumps(content))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(("x", "k"), [(3, 2), (3, 1), (1, 3)])
def test_batches_that_differ_are_refused_also_where_an_engine_would_broadcast(two_inputs, x, k):
    status, body = ask(two_inputs, {"inputs": [tensor("x", [x, 2]), tensor("k", [k, 1])]})
    expected = f"the inputs of model 'two' disagree about the axis 'N': 'x' has {x} and 'k' has {k}"
    assert (status, body) == (400, {"error": expected})


@pytest.mark.parametrize("name", ["id", "parameters", "outputs"])
def test_null_is_like_absent(two_inputs, name):
    status, body = ask(two_inputs, {"inputs": [tensor("x", [2, 2]), tensor("k", [2, 1])], name: None})
    assert status == 200
    assert body["outputs"][0]["data"] == [4.0] * 4
    assert "id" not in body


sizes = st.integers(0, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["x", "k", "z"]), st.lists(sizes, max_size=3)), max_size=3))
def test_whatever_the_inputs_are_the_server_has_no_error(two_inputs, given_inputs):
    content = {"inputs": [tensor(name, shape) for name, shape in given_inputs]}
    status, body = ask(two_inputs, content)
    shapes = dict(given_inputs)
    right = sorted(name for name, _ in given_inputs) == ["k", "x"] and all(
        len(shapes[name]) == 2 and shapes[name][0] > 0 and shapes[name][1] == width
        for name, width in (("x", 2), ("k", 1))
    )
    if right and shapes["x"][0] == shapes["k"][0]:
        assert status == 200
        assert body["outputs"][0]["data"] == [4.0] * (2 * shapes["x"][0])
    else:
        assert status == 400
        assert body["error"]
