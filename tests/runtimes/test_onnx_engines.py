"""Every engine that can be given an ONNX model, against ONNX Runtime; those that are not installed are skipped."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.converted import iree, mnn
from dashdeploy.runtimes.converted.onnx_interface import interface, with_fixed_batch
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, Options
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

SLOW_TO_COMPILE = ("aoti", "executorch")
ALL = [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW_TO_COMPILE else name for name in ONNX_ENGINES
]


def installed(name):
    engine = ONNX_ENGINES[name]
    reason = engine.missing()
    if reason is not None:
        pytest.skip(reason)
    return engine


@pytest.mark.parametrize("name", ALL)
def test_agrees_with_onnx_runtime_at_any_batch(name, classifier):
    runtime = installed(name).load(classifier, Options(threads=1))
    reference = OnnxRuntime(classifier, threads=1)
    generator = np.random.default_rng(1)
    for batch in (1, 5, 1):
        x = generator.standard_normal((batch, 3, 40)).astype("f4")
        expected = reference.run({"signal": x})["scores"]
        got = runtime.run({"signal": x})["scores"]
        # 1e-5 of the largest output: what parity allows a model in float32.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        assert got.dtype == np.float32
    assert [spec.name for spec in runtime.inputs] == ["signal"]
    assert runtime.inputs[0].shape[1:] == (3, 40) and isinstance(runtime.inputs[0].shape[0], str)
    assert [(spec.name, spec.dtype) for spec in runtime.outputs] == [("scores", "float32")]
    assert ONNX_ENGINES[name].version() in runtime.describe() and "1 thread(s)" in runtime.describe()


@pytest.mark.parametrize("name", ALL)
def test_two_threads_give_the_same(name, classifier):
    engine = installed(name)
    x = np.random.default_rng(2).standard_normal((1, 3, 40)).astype("f4")
    one, two = (engine.load(classifier, Options(threads=count)).run({"signal": x}) for count in (1, 2))
    np.testing.assert_allclose(two["scores"], one["scores"], rtol=0, atol=1e-5 * np.abs(one["scores"]).max())


@pytest.mark.parametrize("name", ALL)
def test_callers_at_once_get_their_own_answers(name, classifier):
    runtime = installed(name).load(classifier, Options(threads=1))
    inputs = [np.full((1, 3, 40), value, "f4") for value in range(4)]
    expected = [runtime.run({"signal": x})["scores"] for x in inputs]
    wrong = []

    def ask(x, y):
        for _ in range(20):
            if not np.array_equal(runtime.run({"signal": x})["scores"], y):
                wrong.append(float(x[0, 0, 0]))

    callers = [threading.Thread(target=ask, args=pair) for pair in zip(inputs, expected, strict=True)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@pytest.mark.parametrize("name", ALL)
def test_a_broken_model_is_refused_in_a_line(name):
    engine = installed(name)
    broken = b"not a model"
    with pytest.raises(InputError) as error:
        if engine.own_format is None:
            engine.load(broken, Options())
        else:
            spec = TensorSpec(name="x", shape=(1,), dtype="float32")
            engine.own_format.open(broken, [spec], [spec], Options())
    assert engine.title in str(error.value) and "\n" not in str(error.value)


def test_bfloat16_of_openvino_is_coarser_and_said(classifier):
    engine = installed(EngineName.OPENVINO)
    x = np.random.default_rng(3).standard_normal((2, 3, 40)).astype("f4")
    exact = engine.load(classifier, Options(threads=1)).run({"signal": x})["scores"]
    try:
        rounded = engine.load(classifier, Options(threads=1, precision="bf16"))
    except MissingCapabilityError as error:
        pytest.skip(str(error))
    error = np.abs(rounded.run({"signal": x})["scores"] - exact).max() / np.abs(exact).max()
    assert 1e-4 < error < 4e-2
    assert "in bf16" in rounded.describe()


def test_iree_runs_more_samples_than_it_was_compiled_for_in_pieces(classifier):
    installed(EngineName.IREE)
    inputs, outputs = interface(classifier)
    runtime = iree.Iree(
        iree.convert_to_iree(classifier, 2), inputs=inputs, outputs=outputs, batch=2, threads=1
    )
    x = np.random.default_rng(4).standard_normal((5, 3, 40)).astype("f4")
    expected = OnnxRuntime(classifier, threads=1).run({"signal": x})["scores"]
    np.testing.assert_allclose(
        runtime.run({"signal": x})["scores"], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
    )
    assert "batch 2" in runtime.describe()


def test_a_fixed_batch_fixes_nothing_else(classifier):
    inputs, outputs = interface(with_fixed_batch(classifier, 4))
    assert [spec.shape for spec in (*inputs, *outputs)] == [(4, 3, 40), (4, 5)]
    assert [spec.shape for spec in interface(with_fixed_batch(with_fixed_batch(classifier, 4), 7))[0]] == [
        (4, 3, 40)
    ]


def test_a_dynamic_length_is_refused_where_every_size_is_needed(classifier):
    import onnx

    proto = onnx.load_from_string(classifier)
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "length"
    with pytest.raises(InputError, match=r"signal has a dynamic axis 2 .* fix it with `input_shapes`"):
        with_fixed_batch(proto.SerializeToString(), 1)


def test_mnn_leaves_stdout_to_results(classifier, capfd):
    installed(EngineName.MNN)
    inputs, outputs = interface(classifier)
    mnn.Mnn(mnn.convert_to_mnn(classifier), inputs=inputs, outputs=outputs)
    assert capfd.readouterr().out == ""


def test_litert_does_not_greet_on_stderr(classifier, tmp_path):
    installed(EngineName.LITERT)
    file = tmp_path / "model.onnx"
    file.write_bytes(classifier)
    code = f"""
from pathlib import Path
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES, Options
model = Path({str(file)!r}).read_bytes()
for _ in range(2):
    print(ONNX_ENGINES["litert"].load(model, Options(threads=1)).describe())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout.count("LiteRT ") == 2


@pytest.mark.parametrize(
    "name, command",
    [
        ("mnn", r"pip install 'dashdeploy\[mnn\]'"),
        ("iree", r"pip install 'dashdeploy\[iree\]'"),
        ("litert", r"pip install 'dashdeploy\[litert\]'"),
        ("executorch", r"pip install 'dashdeploy\[executorch\]'"),
    ],
)
def test_a_missing_package_is_named_with_what_installs_it(name, command, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert ONNX_ENGINES[name].missing() is not None
    with pytest.raises(MissingCapabilityError, match=command):
        ONNX_ENGINES[name].version()


@pytest.mark.parametrize("name", ALL)
def test_a_convolution_at_the_end_keeps_its_axes(name):
    """MNN gives such an output a fourth axis of one."""
    from onnx import numpy_helper, parser

    model = parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]>
        net (float[batch, 4, 20] x) => (float[batch, 6, 20] y) { y = Conv<pads = [2, 2]>(x, w) }"""
    )
    weight = np.random.default_rng(0).standard_normal((6, 4, 5)).astype("f4")
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    content = model.SerializeToString()
    x = np.random.default_rng(1).standard_normal((2, 4, 20)).astype("f4")
    expected = OnnxRuntime(content, threads=1).run({"x": x})["y"]
    got = installed(name).load(content, Options(threads=1, batch=2)).run({"x": x})["y"]
    assert got.shape == expected.shape == (2, 6, 20)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
