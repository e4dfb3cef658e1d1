"""AOTInductor, on one tiny network: what else is asked of every engine is in `test_onnx_engines`, and slow here."""

import numpy as np
import pytest

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.converted.aoti import Aoti, convert_to_aoti, require_compiler
from dashdeploy.runtimes.converted.onnx_interface import interface
from dashdeploy.runtimes.engines import ENGINES
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def test_it_agrees_and_runs_more_samples_than_it_was_compiled_for_in_pieces(classifier):
    if (reason := ONNX_ENGINES["aoti"].missing()) is not None:
        pytest.skip(reason)
    inputs, outputs = interface(classifier)
    runtime = Aoti(convert_to_aoti(classifier, 2), inputs=inputs, outputs=outputs, batch=2, threads=1)
    reference = OnnxRuntime(classifier, threads=1)
    for count in (2, 5, 1):
        x = np.random.default_rng(count).standard_normal((count, 3, 40)).astype("f4")
        expected = reference.run({"signal": x})["scores"]
        got = runtime.run({"signal": x})["scores"]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert "batch 2" in runtime.describe() and "AOTInductor in torch 2." in runtime.describe()


def test_without_a_compiler_models_run_and_none_is_made(classifier, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(
        MissingCapabilityError, match="no C\\+\\+ compiler is here; on Debian: apt-get install g\\+\\+"
    ):
        convert_to_aoti(classifier + b" ")
    assert "apt-get install" in ONNX_ENGINES["aoti"].missing()
    assert ONNX_ENGINES["aoti"].version().startswith("2.")


def test_a_compiler_that_is_named_and_not_here_is_said(monkeypatch):
    monkeypatch.setenv("CXX", "planted-g++")
    with pytest.raises(
        MissingCapabilityError, match=r"the C\+\+ compiler planted-g\+\+ that CXX names is not here"
    ):
        require_compiler()


def test_a_broken_package_is_refused_in_a_line(classifier, tmp_path):
    (tmp_path / "model.aoti.pt2").write_bytes(b"not a package")
    inputs, outputs = interface(classifier)
    with pytest.raises(InputError, match=r"AOTInductor cannot load .*model\.aoti\.pt2") as error:
        Aoti(tmp_path / "model.aoti.pt2", inputs=inputs, outputs=outputs)
    assert "\n" not in str(error.value)


def test_a_bundle_has_its_package_by_the_name_of_the_target():
    kind = ENGINES["aoti"]
    assert (kind.file, kind.wish, kind.on_gpu) == ("model.aoti.pt2", {"target": "aoti"}, False)
