"""onnxruntime-web in Node: the process that models share, its end, its clock, and what is missing."""

import gc
import os
import signal
import time

import numpy as np
import pytest

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Call, engine_clock, processor_clock
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.ort_web import installation
from dashdeploy.runtimes.ort_web.runtime import OrtWeb

MISSING = ONNX_ENGINES[EngineName.ORT_WEB].missing()
needs_package = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
X = np.random.default_rng(0).standard_normal((1, 3, 40)).astype("f4")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@needs_package
def test_models_share_a_process_which_ends_with_the_last(classifier):
    one, two = OrtWeb(classifier, threads=1), OrtWeb(classifier, threads=1)
    assert one.process == two.process != OrtWeb(classifier, threads=2).process
    pid = one.process
    del one
    gc.collect()
    assert two.run({"signal": X})["scores"].shape == (1, 5) and is_running(pid)
    del two
    gc.collect()
    assert not is_running(pid)


@needs_package
def test_the_time_inside_node_leaves_the_way_there_out(classifier):
    runtime = OrtWeb(classifier, threads=1)
    large = np.zeros((2000, 3, 40), "f4")
    runtime.run({"signal": large})
    start = time.perf_counter_ns()
    inside = engine_clock(Call(runtime, {"signal": large}))
    elapsed = time.perf_counter_ns() - start
    assert 0 < inside == runtime.inside_nanoseconds < elapsed


@needs_package
def test_the_processor_s_time_is_that_of_the_other_process(classifier):
    runtime = OrtWeb(classifier, threads=1)
    if runtime.processor_nanoseconds() is None:
        pytest.skip("this system does not tell")
    large = Call(runtime, {"signal": np.zeros((2000, 3, 40), "f4")})
    large()
    taken = processor_clock(large)
    # The way there and back is that process's work, too.
    assert 0.2 * runtime.inside_nanoseconds < taken
    assert processor_clock(lambda: sum(range(200_000))) < 10**9


@needs_package
def test_a_process_that_was_killed_is_named_and_the_next_model_has_a_new_one(classifier):
    runtime = OrtWeb(classifier, threads=1)
    os.kill(runtime.process, signal.SIGKILL)
    with pytest.raises(
        InputError, match=r"^the Node process of onnxruntime-web ended with signal 9: .*load the"
    ):
        runtime.run({"signal": X})
    again = OrtWeb(classifier, threads=1)
    assert again.process != runtime.process
    assert again.run({"signal": X})["scores"].shape == (1, 5)


@needs_package
def test_inputs_that_the_model_does_not_take_are_refused_and_the_process_lives(classifier):
    runtime = OrtWeb(classifier, threads=1)
    with pytest.raises(InputError, match="double"):
        runtime.run({"signal": X.astype("f8")})
    assert runtime.run({"signal": X})["scores"].shape == (1, 5)


@needs_package
@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool", "float64", "float16"])
def test_numbers_of_every_type_come_back_as_they_are(dtype):
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", kind, ["batch", 3])],
        [helper.make_tensor_value_info("y", kind, ["batch", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    runtime = OrtWeb(model.SerializeToString(), threads=1)
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    got = runtime.run({"x": x})["y"]
    assert got.dtype == x.dtype == np.dtype(runtime.inputs[0].dtype)
    np.testing.assert_array_equal(got, x)


def test_without_node_the_mend_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        MissingCapabilityError, match=r"Node\.js 18 .* then run: python.* -m dashdeploy\.runtimes"
    ) as e:
        OrtWeb.engine_version()
    assert e.value.exit_code == 3


def test_without_the_package_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        MissingCapabilityError, match=r"is not installed; install it with: python.* -m dashdeploy\."
    ):
        installation.find_package()


def test_what_npm_cannot_install_leaves_nothing_behind(monkeypatch, tmp_path):
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nmkdir node_modules\necho 'npm error no network' >&2\nexit 1\n")
    npm.chmod(0o755)
    node = npm.with_name("node")
    node.symlink_to(npm)
    monkeypatch.setenv("PATH", f"{npm.parent}:/usr/bin:/bin")
    monkeypatch.setattr("sys.prefix", str(tmp_path / "environment"))
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="npm cannot install onnxruntime-web: npm error no network"):
        installation.install()
    assert not list(tmp_path.glob("*/**/node_modules"))
