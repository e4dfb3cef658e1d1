"""Parity: a model that says something else is not shipped."""

import numpy as np
import pytest

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.verify.expectation import Expectation
from dashdeploy.export.verify.parity import TOLERANCE, input_sets
from dashdeploy.export.verify.parity import check_parity as check
from dashdeploy.export.verify.parity_report import Parity
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

SCALED = """g (float[b,5] x) => (float[b,5] y, float[b] z) {
    y = Mul(x, factor)  z = ReduceSum<keepdims = 0>(x, one) }"""


def check_parity(runtime, reference, name, samples):
    return check(
        runtime,
        Expectation(reference, name, runtime.inputs, input_sets(runtime.run, runtime.inputs, samples)),
    )


@pytest.fixture
def scaled(onnx_model):
    """y = factor x and z = sum x."""

    def runtime(factor, text=SCALED):
        model = onnx_model(text, factor=np.array(factor, "f4"), one=np.array([1]))
        return OnnxRuntime(model.SerializeToString(), threads=1)

    return runtime


def test_equal_models_agree(scaled):
    parity = check_parity(scaled(2), scaled(2).run, "itself", {})
    assert [(entry.output, entry.inputs) for entry in parity.outputs] == [
        ("y", "random, batch 1"),
        ("z", "random, batch 1"),
        ("y", "random, batch 3"),
        ("z", "random, batch 3"),
    ]
    assert parity.worst == 0
    assert parity.tolerance == TOLERANCE["fp32"] == 1e-5
    assert parity.reference == "itself"
    first, second = parity.outputs[:2]
    assert (first.top1_agreement, first.max_abs_error) == (1.0, 0.0)
    assert first.cosine == pytest.approx(1, abs=1e-12)
    assert second.top1_agreement is None
    assert Parity.model_validate_json(parity.model_dump_json()) == parity


def test_the_difference_is_measured_against_the_largest_output(scaled):
    parity = check_parity(scaled(1 + 5e-6), scaled(1).run, "the original", {})
    # The largest element differs the most: by the factor itself, to within float32's rounding.
    assert parity.worst == pytest.approx(5e-6, abs=2e-7)


def test_a_different_model_is_refused_output_by_output(scaled):
    with pytest.raises(GateError) as error:
        check_parity(scaled(1.001), scaled(1).run, "the original", {})
    message = str(error.value)
    assert error.value.exit_code == 4
    assert "\n" not in message
    assert "y (random, batch 1) differs by 1.00e-03" in message
    assert "y (random, batch 3) differs by 1.00e-03" in message
    assert "z (" not in message
    assert "nothing was written" in message


def test_a_model_that_is_wrong_on_real_data_alone_is_refused(scaled):
    """Random inputs stay below 9, where both models are equal."""
    wrong = scaled(9, "g (float[b,5] x) => (float[b,5] y) { y = Min(x, factor) }")
    right = scaled(99, "g (float[b,5] x) => (float[b,5] y) { y = Min(x, factor) }")
    check_parity(wrong, right.run, "the original", {})
    with pytest.raises(GateError, match=r"y \(validation, batch 2\) differs by 1\.00e-01, tolerance"):
        check_parity(wrong, right.run, "the original", {"x": np.full((2, 5), 10, "f4")})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number_only_here_is_refused(scaled, bad):
    with pytest.raises(GateError, match="differs by inf"):
        check_parity(scaled(bad), scaled(1).run, "the original", {})
    with pytest.raises(GateError, match="differs by inf"):
        check_parity(scaled(1), scaled(bad).run, "the original", {})


def test_what_is_not_a_number_in_both_agrees(scaled):
    parity = check_parity(scaled(np.nan), scaled(np.nan).run, "the original", {})
    assert parity.worst == 0
    signed = scaled(np.inf).run
    check_parity(scaled(np.inf), signed, "the original", {})
    with pytest.raises(GateError):
        check_parity(scaled(-np.inf), signed, "the original", {})


def test_another_shape_is_refused(scaled):
    taller = scaled(1, SCALED.replace("y = Mul(x, factor)", "h = Mul(x, factor) y = Concat<axis = 0>(h, h)"))
    with pytest.raises(GateError, match=r"output y has shape \(2, 5\), the reference \(1, 5\)"):
        check_parity(taller, scaled(1).run, "the original", {})


def test_a_model_that_disagrees_with_itself_is_named(onnx_model):
    model = onnx_model("g (float[b,5] x) => (float[b,5] y) { r = RandomNormalLike(x) y = Add(x, r) }")
    runtime = OnnxRuntime(model.SerializeToString(), threads=1)
    with pytest.raises(InputError, match="output y differs between two runs of the same model"):
        check_parity(runtime, runtime.run, "itself", {})


def test_a_fixed_batch_is_run_as_it_is(onnx_model):
    model = onnx_model("g (float[4,5] x) => (float[4,5] y) { y = Relu(x) }")
    runtime = OnnxRuntime(model.SerializeToString(), threads=1)
    parity = check_parity(runtime, runtime.run, "itself", {})
    assert len(parity.outputs) == 1


def test_integers_and_booleans_are_compared(onnx_model):
    text = "g (int64[b,5] x) => (int64[b,5] y, bool[b,5] z) { y = Add(x, x) z = Greater(y, x) }"
    runtime = OnnxRuntime(onnx_model(text).SerializeToString(), threads=1)
    assert check_parity(runtime, runtime.run, "itself", {}).worst == 0
    other = OnnxRuntime(onnx_model(text.replace("Greater(y", "Less(y")).SerializeToString(), threads=1)
    with pytest.raises(GateError, match=r"z .* differs by"):
        check_parity(other, runtime.run, "the original", {})


def test_text_is_compared(onnx_model):
    text = "g (float[b,5] x) => (float[b,5] y, string[2] t) { y = Relu(x) t = Identity(words) }"

    def runtime(*words):
        return OnnxRuntime(onnx_model(text, words=np.array(words, object)).SerializeToString(), threads=1)

    assert check_parity(runtime("cat", "dog"), runtime("cat", "dog").run, "the original", {}).worst == 0
    with pytest.raises(GateError, match=r"t \(random, batch 1\) differs by inf"):
        check_parity(runtime("cat", "dog"), runtime("cat", "cow").run, "the original", {})


def test_an_input_that_has_no_random_numbers_is_named(onnx_model):
    model = onnx_model("g (seq(float[b]) s) => (int64 t) { t = SequenceLength(s) }")
    runtime = OnnxRuntime(model.SerializeToString(), threads=1)
    with pytest.raises(InputError, match=r"input s has the type seq\(tensor\(float\)\)"):
        check_parity(runtime, runtime.run, "itself", {})
