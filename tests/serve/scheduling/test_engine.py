"""The engine on real ONNX models: batches are split exactly, faults stay with whom they belong to."""

import asyncio
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper

from dashdeploy.runtimes.batch_axis import has_batch_axis, warm_up
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.serve.observability.statistics import ModelStatistics
from dashdeploy.serve.protocol.errors import RequestError
from dashdeploy.serve.scheduling.engine import Engine, _without_source
from dashdeploy.serve.scheduling.inline_execution import InlineExecution
from dashdeploy.serve.settings import BatchPolicy


def engine_of(runtime, *, batched=True, **more):
    policy = more.pop("policy", BatchPolicy())
    statistics = ModelStatistics()
    engine = Engine(
        runtime, name="m", policy=policy, batched=batched, instances=1, statistics=statistics, **more
    )
    return engine, statistics


def run_all(engine, feeds, timeout=30):
    async def run():
        return await asyncio.gather(
            *(engine.infer(each, timeout=timeout) for each in feeds), return_exceptions=True
        )

    try:
        return asyncio.run(run())
    finally:
        engine.close()


def test_concurrent_requests_share_runs_and_get_their_own_rows(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.02)
    engine, statistics = engine_of(runtime)
    generator = np.random.default_rng(0)
    feeds = [
        {"x": generator.standard_normal((rows, 4)).astype(np.float32)} for rows in [1, 3, 2, 5, 1, 1, 40, 2]
    ]
    for given, results in zip(feeds, run_all(engine, feeds), strict=True):
        np.testing.assert_array_equal(results["y"], 2 * given["x"])
    assert sum(runtime.rows) == 55
    assert len(runtime.rows) < len(feeds)
    assert statistics.success.count == 8
    assert statistics.inference_count == 55
    assert statistics.execution_count == len(runtime.rows)
    assert {rows: each.compute_infer.count for rows, each in statistics.batches.items()} == {
        rows: runtime.rows.count(rows) for rows in runtime.rows
    }


def test_other_shapes_never_share_a_run(tmp_path, write, engines):
    folder = write.bundle(
        tmp_path / "square",
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", "length"])],
        [("y", TensorProto.FLOAT, ["batch", "length"])],
    )
    engine, statistics = engine_of(engines.SlowRuntime(folder / "model.onnx", 0.01))
    feeds = [{"x": np.full((2, length), length, np.float32)} for length in [3, 5, 3, 5, 7, 3]]
    for given, results in zip(feeds, run_all(engine, feeds), strict=True):
        np.testing.assert_array_equal(results["y"], given["x"] ** 2)
    assert statistics.execution_count >= 3


def test_with_a_probe_that_runs_a_failure_is_the_clients(tmp_path, write, engines):
    model = write.gather(tmp_path / "gather") / "model.onnx"
    engine, statistics = engine_of(engines.SlowRuntime(model, 0), probe={"index": np.array([0])})
    refused, result = run_all(engine, [{"index": np.array([99])}, {"index": np.array([1])}])
    assert refused.status == 400
    assert "'index' [1]" in str(refused) and "idx=99" in str(refused)
    assert result["value"].tolist() == [20.0]
    assert statistics.failures["BACKEND"].count == 1


def test_an_engines_own_source_is_left_out_of_its_message():
    reason = (
        "Status Message: /src/core/providers/cpu/math/element_wise_ops.h:583 void onnxruntime::Broadcast::Append("
        "ptrdiff_t, ptrdiff_t) axis == 1 was false. Attempting to broadcast 2 by 3"
    )
    expected = "Status Message: axis == 1 was false. Attempting to broadcast 2 by 3"
    assert _without_source(reason) == expected
    assert _without_source("index 99 is out of range [0, 3/4]") == "index 99 is out of range [0, 3/4]"


def test_a_bad_request_fails_alone(tmp_path, write, engines):
    model = write.gather(tmp_path / "gather") / "model.onnx"
    engine, statistics = engine_of(engines.SlowRuntime(model, 0.01))
    feeds = [{"index": np.array([index])} for index in [0, 1, 99, 2, 1]]
    results = run_all(engine, feeds)
    assert isinstance(results[2], RequestError)
    assert results[2].status == 400  # the first one ran, so the engine is well
    values = [float(result["value"][0]) for i, result in enumerate(results) if i != 2]
    assert values == [10.0, 20.0, 30.0, 20.0]
    assert statistics.failures["BACKEND"].count == 1
    assert statistics.success.count == 4


def test_without_a_probe_nobody_knows_whose_fault_it_is_until_a_request_ran(tmp_path, write, engines):
    model = write.gather(tmp_path / "gather") / "model.onnx"
    engine, _ = engine_of(engines.SlowRuntime(model, 0), policy=BatchPolicy(max_rows=1))
    results = run_all(engine, [{"index": np.array([index])} for index in (99, 1, 99)])
    assert [getattr(result, "status", 200) for result in results] == [500, 200, 400]


def test_a_failure_of_the_engine_names_no_file_of_its_source(tmp_path, write, engines):
    model = write.double(tmp_path / "double") / "model.onnx"
    runtime = engines.SlowRuntime(model, 0)

    def fail(_):
        raise RuntimeError(
            "cudaMalloc: /src/core/providers/cuda/cuda_call.cc:123 std::conditional_t<> out of memory"
        )

    runtime.run = fail
    engine, _ = engine_of(runtime)
    (result,) = run_all(engine, [{"x": np.zeros((1, 4), np.float32)}])
    assert (result.status, "/src" in str(result), "out of memory" in str(result)) == (500, False, True)


def test_a_full_queue_is_refused_at_once(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.2)
    engine, statistics = engine_of(runtime, policy=BatchPolicy(max_rows=1, queue_size=3))

    async def run():
        first = asyncio.ensure_future(engine.infer({"x": np.zeros((1, 4), np.float32)}, timeout=9))
        await asyncio.sleep(0.05)  # it runs by now
        others = [
            asyncio.ensure_future(engine.infer({"x": np.ones((1, 4), np.float32)}, timeout=9))
            for _ in range(4)
        ]
        done, _ = await asyncio.wait(others, timeout=0.1)
        assert len(done) == 2
        for each in done:
            assert each.exception().status == 503
            assert each.exception().retry_after == 1
        with pytest.raises(RequestError, match="full"):
            engine.check_room()
        assert len(await asyncio.gather(first, *(set(others) - done))) == 3

    asyncio.run(run())
    engine.close()
    assert statistics.failures["REJECTED"].count == 3


def test_a_request_that_waits_too_long_is_503_and_one_that_runs_too_long_504(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.3)
    engine, _ = engine_of(runtime, policy=BatchPolicy(max_rows=1))
    results = run_all(engine, [{"x": np.zeros((1, 4), np.float32)}] * 2, timeout=0.1)
    assert [error.status for error in results] == [504, 503]


def test_a_cancelled_request_leaves_the_queue(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0.1)
    engine, statistics = engine_of(runtime, policy=BatchPolicy(max_rows=1))

    async def run():
        x = {"x": np.zeros((1, 4), np.float32)}
        running, waiting = (asyncio.ensure_future(engine.infer(x, timeout=9)) for _ in range(2))
        await asyncio.sleep(0.02)
        assert engine.waiting == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert engine.waiting == 0
        await running
        gone = asyncio.Event()
        first = asyncio.ensure_future(engine.infer(x, timeout=9))
        await asyncio.sleep(0.02)
        left = asyncio.ensure_future(engine.infer(x, timeout=9, gone=gone.wait))
        await asyncio.sleep(0.02)
        gone.set()
        with pytest.raises(RequestError) as error:
            await left
        assert error.value.status == 499
        await first

    asyncio.run(run())
    engine.close()
    assert len(runtime.rows) == 2
    assert statistics.failures["CANCELED"].count == 2


def test_a_broken_engine_is_reported(tmp_path, write, engines):
    switch = tmp_path / "broken"
    runtime = engines.BreakableRuntime(write.double(tmp_path / "double") / "model.onnx", 0, switch)
    told = []
    engine, _ = engine_of(
        runtime, probe=warm_up(runtime, runtime.inputs), on_broken=lambda: told.append(True)
    )
    switch.touch()

    async def run():
        with pytest.raises(RequestError, match="fell off"):
            await engine.infer({"x": np.zeros((1, 4), np.float32)}, timeout=9)
        for _ in range(100):
            if told:
                return
            await asyncio.sleep(0.02)

    asyncio.run(run())
    engine.close()
    assert told == [True]


def batch_axis_of(folder):
    runtime = OnnxRuntime(folder / "model.onnx", threads=1)
    probe = warm_up(runtime, runtime.inputs)
    return probe is not None and has_batch_axis(runtime, runtime.inputs, runtime.outputs, probe)


def along(write, tmp_path, name, node, shape=("n", 4), out=("n", 4)):
    return write.bundle(
        tmp_path / name, [node], [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, out)]
    )


def test_a_first_axis_along_which_rows_mix_is_no_batch_axis(tmp_path, write):
    assert batch_axis_of(write.double(tmp_path / "double"))
    assert batch_axis_of(write.divide(tmp_path / "divide"))
    softmax = helper.make_node("Softmax", ["x"], ["y"], axis=0)
    assert not batch_axis_of(along(write, tmp_path, "softmax", softmax))
    total = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    assert not batch_axis_of(along(write, tmp_path, "mean", total, out=(1, 4)))
    fixed = helper.make_node("Identity", ["x"], ["y"])
    assert not batch_axis_of(along(write, tmp_path, "fixed", fixed, shape=(2, 4), out=(2, 4)))
    transposed = helper.make_node("Transpose", ["x"], ["y"])
    assert not batch_axis_of(along(write, tmp_path, "transposed", transposed, ("n", "m"), ("m", "n")))


def test_a_lone_request_of_a_quick_model_runs_on_the_loop_and_others_do_not(tmp_path, write, engines):
    runtime = engines.SlowRuntime(write.double(tmp_path / "double") / "model.onnx", 0)
    threads = []
    run = runtime.run
    runtime.run = lambda feeds: threads.append(threading.get_ident()) or run(feeds)
    engine, statistics = engine_of(runtime)
    x = {"x": np.ones((1, 4), np.float32)}

    async def infer(count):
        results = await asyncio.gather(*(engine.infer(x, timeout=9) for _ in range(count)))
        assert all((result["y"] == 2).all() for result in results)

    async def check():
        for _ in range(500):  # a busy machine may take a while to be quick so often in a row
            await infer(1)
            if threads[-1] == threading.get_ident():
                break
        else:
            pytest.fail("it never ran on the event loop's thread")
        await infer(8)
        assert threads[-1] != threading.get_ident()

    asyncio.run(check())
    engine.close()
    assert statistics.inference_count == statistics.success.count == sum(runtime.rows)


def test_what_counts_as_quick():
    runs = InlineExecution()
    shapes, others = ((1, 4),), ((2, 4),)
    for _ in range(20):
        runs.note(shapes, 100, on_loop=False)
    assert runs.expect_quick(shapes) and not runs.expect_quick(others)
    runs.note(shapes, 10**9, on_loop=True)
    assert not runs.expect_quick(shapes)
    for _ in range(20):
        runs.note(shapes, 100, on_loop=False)
    assert not runs.expect_quick(shapes), "after a surprise it takes twice as many"
    for _ in range(20):
        runs.note(shapes, 100, on_loop=False)
    assert runs.expect_quick(shapes)
    runs.note(others, 100, on_loop=False)
    assert not runs.expect_quick(others) and not runs.expect_quick(shapes)
