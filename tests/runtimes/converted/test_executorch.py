"""ExecuTorch on one tiny network: what else is asked of every engine is in `test_onnx_engines`, and slow here."""

import numpy as np
import pytest

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.targets.single_layer import random_weights, single_layer_model
from dashdeploy.runtimes.converted.executorch import ExecuTorch, convert_to_executorch
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.engines import ENGINES
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.convolutions import conv

MISSING = ONNX_ENGINES["executorch"].missing()
needed = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@needed
def test_it_agrees_and_runs_more_samples_than_it_was_converted_for_in_pieces(classifier):
    inputs, outputs = interface(classifier)
    content = convert_to_executorch(classifier, 2)
    runtime = ExecuTorch(content, inputs=inputs, outputs=outputs, batch=2, threads=1)
    reference = OnnxRuntime(classifier, threads=1)
    for count in (2, 5, 1):
        x = np.random.default_rng(count).standard_normal((count, 3, 40)).astype("f4")
        expected = reference.run({"signal": x})["scores"]
        got = runtime.run({"signal": x})["scores"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert "batch 2" in runtime.describe() and "1 thread(s)" in runtime.describe()


@needed
@pytest.mark.slow
def test_the_delegate_takes_a_compiled_convolution_whole():
    from executorch.runtime import Runtime

    spec = conv(8, 8, 200, 15, pads=21, dilations=3)
    weights = random_weights(spec)
    for lowering in (Direct(), ToomCook((24,))):
        model = serialized(single_layer_model(lowering, spec, *weights))
        program = convert_to_executorch(model)
        backends = Runtime.get().load_program(program).metadata("forward")
        assert backends is not None
        assert program.count(b"XnnpackBackend") == 1
        inputs, outputs = interface(model)
        x = np.random.default_rng(0).standard_normal((1, 8, 200)).astype("f4")
        expected = OnnxRuntime(model, threads=1).run({"x": x})["y"]
        got = ExecuTorch(program, inputs=inputs, outputs=outputs, threads=1).run({"x": x})["y"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=5e-6 * np.abs(expected).max())


@needed
def test_a_broken_program_is_refused_in_a_line(classifier):
    inputs, outputs = interface(classifier)
    with pytest.raises(InputError, match="ExecuTorch cannot load the program") as error:
        ExecuTorch(b"not a program", inputs=inputs, outputs=outputs)
    assert "\n" not in str(error.value)


def test_a_bundle_has_its_program_by_the_name_of_the_target():
    kind = ENGINES["executorch"]
    assert (kind.file, kind.wish, kind.on_gpu) == ("model.pte", {"target": "executorch"}, False)
