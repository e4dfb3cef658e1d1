"""What a sample costs by the batch: measured on engines whose cost is known, and obeyed by a server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.serve.scheduling.batch_curve import RUN_OVERHEAD, TOLERANCE, BatchCurve, measure_curve

POWERS = (1, 2, 4, 8, 16, 32)


@given(
    st.dictionaries(st.sampled_from(POWERS[1:]), st.floats(1e-6, 1), min_size=0),
    st.floats(1e-6, 1),
    st.integers(1, 40),
)
def test_no_useful_size_costs_more_than_a_smaller_one(others, alone, max_rows):
    seconds = {1: alone, **dict(sorted(others.items()))}
    useful = BatchCurve(seconds).useful_sizes(max_rows)
    known = [rows for rows in range(1, max_rows + 1) if rows <= max(seconds)]
    assert 1 in useful and useful <= set(range(1, max_rows + 1))
    assert {rows in useful for rows in range(known[-1] + 1, max_rows + 1)} <= {known[-1] in useful}
    costs = []
    for rows in known:
        low, high = max(n for n in seconds if n <= rows), min(n for n in seconds if n >= rows)
        share = 0 if low == high else (rows - low) / (high - low)
        cost = ((1 - share) * seconds[low] + share * seconds[high] + RUN_OVERHEAD) / rows
        if costs:
            ratio = cost / min(costs)
            assert rows not in useful or ratio <= 1 + TOLERANCE + 1e-9
            assert rows in useful or ratio >= 1 + TOLERANCE - 1e-9
        costs.append(cost)


@pytest.mark.parametrize(
    "milliseconds, max_rows, useful",
    [
        ({1: 5.9, 2: 12, 4: 26, 8: 57.6}, 8, {1, 2, 3, 4}),  # the cost per sample grows: 5.9, 6, 6.5, 7.2 ms
        ({1: 3, 2: 3, 4: 3, 8: 3}, 8, set(range(1, 9))),  # a fixed cost
        ({1: 1, 2: 3, 4: 3.2, 8: 6.4}, 8, {1, 3, 4, 5, 6, 7, 8}),  # two are worse than one, four are better
        ({1: 1, 2: 3}, 4, {1}),  # of larger ones nothing is known but that it got worse
        ({1: 1, 2: 2}, 4, {1, 2, 3, 4}),
    ],
)
def test_the_sizes_of_curves_that_are_known(milliseconds, max_rows, useful):
    curve = BatchCurve({rows: each / 1e3 for rows, each in milliseconds.items()})
    assert curve.useful_sizes(max_rows) == useful
    assert curve.milliseconds_per_sample()[2] == pytest.approx(milliseconds[2] / 2)


def test_a_curve_is_measured_in_little_time(tmp_path, write, engines):
    model = write.double(tmp_path / "double") / "model.onnx"
    fixed = engines.SlowRuntime(model, 0.001)  # a busy machine takes some times as long
    start = time.perf_counter()
    curve = measure_curve(fixed, fixed.inputs, 32, also=(24,))
    assert time.perf_counter() - start < 3
    assert sorted(curve.seconds) == sorted({*POWERS, 24})
    costs = curve.milliseconds_per_sample()
    assert costs[1] >= 1 and costs[32] < costs[1] / 8
    assert max(curve.useful_sizes(32)) == 32
    growing = engines.GrowingRuntime(model, 0.002)
    grown = measure_curve(growing, growing.inputs, 32)
    assert grown.milliseconds_per_sample()[2] >= 4
    assert 2 not in grown.useful_sizes(32)


def test_a_slow_model_is_measured_once_and_not_forbidden_what_was_not_measured(tmp_path, write, engines):
    slow = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.5)
    curve = measure_curve(slow, slow.inputs, 32)
    assert slow.rows == [1]
    assert curve.useful_sizes(32) == set(range(1, 33))


def test_a_batch_on_which_the_engine_fails_is_never_formed(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.001)
    run = runtime.run

    def limited(feeds):  # as an engine that was built for batches up to four
        if len(feeds["x"]) > 4:
            raise ValueError("no profile fits")
        return run(feeds)

    runtime.run = limited
    curve = measure_curve(runtime, runtime.inputs, 32)
    assert list(curve.seconds) == [1, 2, 4]
    assert curve.useful_sizes(32) == {1, 2, 3, 4}


def test_a_length_that_varies_is_not_measured(tmp_path, write):
    shape = ["n", "length"]
    folder = write.bundle(
        tmp_path / "any",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", TensorProto.FLOAT, shape)],
        [("y", TensorProto.FLOAT, shape)],
    )
    runtime = OnnxRuntime(folder / "model.onnx", threads=1)
    assert measure_curve(runtime, runtime.inputs, 8) is None


def sizes_of_runs(running):
    """The batches of 40 requests that come by 20 threads."""
    content = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}

    def ask(_):
        response = httpx.post(f"http://{running.http}/v2/models/double/infer", json=content, timeout=60)
        assert response.json()["outputs"][0]["data"] == [2, 4, 6, 8]

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask, range(40)))
    statistics = httpx.get(f"http://{running.http}/v2/models/double/stats").json()["model_stats"][0]
    return {entry["batch_size"] for entry in statistics["batch_stats"]}


def test_a_server_forms_no_batch_that_costs_more_and_shows_why(tmp_path, write, start_server):
    bundle = write.double(tmp_path / "double")
    with start_server([bundle], cost_grows=0.004) as running:
        assert sizes_of_runs(running) == {1}
        config = httpx.get(f"http://{running.http}/v2/models/double/config").json()
        found = {name: json.loads(value["string_value"]) for name, value in config["parameters"].items()}
        costs = found["ms_per_sample_by_batch"]
        assert found["largest_useful_batch"] == 1
        assert costs["1"] >= 4 and costs["2"] >= 8
        assert found["measured_batches_not_formed"][:2] == [2, 4]
        with triton_grpc.InferenceServerClient(running.grpc) as client:
            parameters = client.get_model_config("double").config.parameters
            assert json.loads(parameters["ms_per_sample_by_batch"].string_value) == costs
    with start_server([bundle], cost_grows=0.004, measure=False) as running:
        assert max(sizes_of_runs(running)) > 1
        parameters = httpx.get(f"http://{running.http}/v2/models/double/config").json()["parameters"]
        assert list(parameters) == ["labels", "multi_label"]
    with start_server([bundle], cost=0.01) as running:
        assert max(sizes_of_runs(running)) > 1


def test_the_curve_of_a_real_engine(tmp_path, write):
    runtime = OnnxRuntime(write.double(tmp_path / "double") / "model.onnx", threads=1)
    curve = measure_curve(runtime, runtime.inputs, 16)
    assert list(curve.seconds) == [1, 2, 4, 8, 16]
    assert all(0 < seconds < 1 for seconds in curve.seconds.values())
    assert np.isfinite(list(curve.milliseconds_per_sample().values())).all()
