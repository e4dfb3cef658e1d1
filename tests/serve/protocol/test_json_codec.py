"""The codec by itself: what is encoded decodes to the same, and any bytes are decoded or refused."""

import json
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashdeploy.artifacts.tensor_spec import DATATYPE_BY_NUMPY_NAME, TensorSpec
from dashdeploy.serve.http.body import decompress
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.protocol.inference_request import InferRequest, OutputRequest
from dashdeploy.serve.protocol.json_codec import decode_request, encode_response

FIXED_SIZE = [name for name in DATATYPE_BY_NUMPY_NAME if name != "object"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, max_side=5)
TEXTS = hnp.arrays("object", SHAPES, elements=st.text(max_size=5))
TENSORS = TEXTS | st.sampled_from(FIXED_SIZE).flatmap(lambda name: hnp.arrays(name, SHAPES))
SPEC = {"x": TensorSpec(name="x", shape=("batch", 2), dtype="float32")}

patiently = settings(deadline=None)  # a busy machine is not a failure


def specs_of(arrays):
    return {
        name: TensorSpec(name=name, shape=array.shape, dtype=array.dtype.name)
        for name, array in arrays.items()
    }


def request_from_response(response, arrays):
    """The response's outputs sent back as a request's inputs: the two have one format."""
    length = len(response.body) if response.header_length is None else response.header_length
    content = json.loads(response.body[:length])
    content["inputs"] = content.pop("outputs")
    header = json.dumps(content).encode()
    return decode_request(
        header + response.body[length:],
        None if response.header_length is None else str(len(header)),
        model="m",
        inputs=specs_of(arrays),
        outputs={},
    )


@patiently
@given(st.dictionaries(st.text(max_size=8), TENSORS, min_size=1, max_size=4), st.text(max_size=5))
def test_binary_round_trip(arrays, request_id):
    asked = InferRequest({}, dict.fromkeys(arrays, OutputRequest(binary=True)), request_id)
    response = encode_response(asked, arrays, model="m", version="1")
    decoded = request_from_response(response, arrays)
    assert decoded.id == request_id
    assert list(decoded.feeds) == list(arrays)
    for name, array in arrays.items():
        found = decoded.feeds[name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        # As bytes, so that every NaN counts; those of objects would be their addresses.
        assert (
            found.tolist() == array.tolist() if array.dtype == object else found.tobytes() == array.tobytes()
        )
        assert found.flags.aligned


@patiently
@given(st.dictionaries(st.text(max_size=8), TENSORS, min_size=1, max_size=4))
def test_json_round_trip_is_exact_where_finite(arrays):
    finite = {
        name: array if array.dtype == object else np.where(np.isfinite(array), array, 0).astype(array.dtype)
        for name, array in arrays.items()
    }
    response = encode_response(
        InferRequest({}, dict.fromkeys(finite, OutputRequest()), ""), finite, model="m", version="1"
    )
    assert response.header_length is None
    decoded = request_from_response(response, finite)
    for name, array in finite.items():
        np.testing.assert_array_equal(decoded.feeds[name], array)


@patiently
@given(TENSORS, st.booleans())
def test_mixed_order_of_memory_is_sent_in_row_major_order(array, binary):
    asked = InferRequest({}, {"x": OutputRequest(binary=binary)}, "")
    column_major = {"x": array.copy(order="F")}
    plain = {"x": np.ascontiguousarray(array).reshape(array.shape)}
    one, other = (encode_response(asked, arrays, model="m", version="1") for arrays in (column_major, plain))
    assert one == other


@patiently
@given(st.binary(max_size=200), st.none() | st.text(max_size=5) | st.integers(-1, 200).map(str))
@example(bytes(16), "0")
def test_any_bytes_are_decoded_or_refused_with_400(body, header_length):
    """Without a header, whole rows are the only input, as they are."""
    try:
        decoded = decode_request(body, header_length, model="m", inputs=SPEC, outputs={})
    except RequestError as error:
        assert error.status == 400
        assert header_length != "0" or not body or len(body) % 8  # a row of two floats
    else:
        (array,) = decoded.feeds.values()
        assert int(header_length) == 0 and array.tobytes() == body


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@patiently
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("x") | JSON_VALUES,
            "shape": st.just([1, 2]) | JSON_VALUES,
            "datatype": st.just("FP32") | JSON_VALUES,
            "data": st.just([1, 2]) | JSON_VALUES,
            "parameters": JSON_VALUES | st.fixed_dictionaries({"binary_data_size": JSON_VALUES}),
        },
    ),
    JSON_VALUES,
    JSON_VALUES,
)
def test_any_json_is_decoded_or_refused_with_400(tensor, outputs, request_id):
    body = json.dumps({"inputs": [tensor], "outputs": outputs, "id": request_id}).encode()
    for header_length in (None, str(len(body))):
        try:
            request = decode_request(body, header_length, model="m", inputs=SPEC, outputs=SPEC)
        except RequestError as error:
            assert error.status == 400
        else:
            assert request.feeds["x"].shape == (1, 2)


@patiently
@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "identity", None, "br"]))
def test_any_body_is_decompressed_or_refused(body, encoding):
    try:
        assert len(decompress(body, encoding, limit=1000)) <= 1000
    except RequestError as error:
        assert error.status in (400, 413, 501)


def test_binary_input_is_a_view_of_the_body_where_it_is_aligned():
    content = {
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}]
    }
    header = json.dumps(content).encode()
    views = 0
    for padding in range(8):
        padded = header + b" " * padding
        body = padded + np.array([1, 2], np.float32).tobytes()
        request = decode_request(body, str(len(padded)), model="m", inputs=SPEC, outputs={})
        np.testing.assert_array_equal(request.feeds["x"], [[1, 2]])
        views += np.shares_memory(request.feeds["x"], np.frombuffer(body, np.uint8))
    assert views == 2


def test_a_bomb_is_never_inflated_beyond_the_limit():
    bomb = zlib.compress(bytes(50_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(RequestError) as error:
            decompress(bomb, "deflate", limit=1_000_000)
        assert error.value.status == 413
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
