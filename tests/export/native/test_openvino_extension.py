"""The extension of OpenVINO: native models run in it as in ONNX Runtime, without transposes between native layers."""

import re
import shutil

import numpy as np
import onnx_ir as ir
import pytest

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.frontend.onnx_files import serialized
from dashdeploy.export.native import build as module
from dashdeploy.export.native.build import BuildError, build_openvino_extension, find_compiler
from dashdeploy.runtimes.native import openvino_extension
from dashdeploy.runtimes.native.graph_file import DOMAIN
from dashdeploy.runtimes.native.library import library_path
from dashdeploy.runtimes.native.openvino_extension import extension_path, load_in_openvino
from tests.export.native.test_networks import GRAPHS, RESIDUAL, TOLERANCE, WEIGHTS, fed, native_of

openvino = pytest.importorskip("openvino")


@pytest.fixture(autouse=True, scope="module")
def _extension(tmp_path_factory):
    """The one beside the kernels, else one that is built for these tests."""
    if extension_path().is_file():
        yield
        return
    if find_compiler() is None:
        pytest.skip("there is no C++ compiler to build the extension with")
    folder = tmp_path_factory.mktemp("extension")
    shutil.copy2(library_path(), folder / module.LIBRARY)
    built = build_openvino_extension(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openvino_extension, "extension_path", lambda: built)
        yield


def written(native, folder):
    path = folder / "model.native.onnx"
    path.write_bytes(serialized(native))
    return path


@pytest.mark.parametrize("name", GRAPHS)
def test_networks_agree_with_onnx_runtime(name, onnx_model, tmp_path):
    text, weights = GRAPHS[name]
    model = onnx_model(text, opset=18, **weights)
    for threads in (1, 2):
        native = load_in_openvino(written(native_of(model), tmp_path), threads=threads)
        for batch in (1, 5):
            runtime, feeds = fed(model, batch, seed=batch)
            expected, got = runtime.run(feeds), native.run(feeds)
            for output, value in expected.items():
                assert got[output].shape == value.shape
                assert np.abs(got[output] - value).max() <= TOLERANCE * np.abs(value).max()


def test_between_native_layers_nothing_is_transposed(onnx_model, tmp_path):
    path = written(native_of(onnx_model(RESIDUAL, opset=18, **WEIGHTS)), tmp_path)
    core = openvino.Core()
    core.add_extension(str(openvino_extension.extension_path()))
    kinds = [node.get_type_name() for node in core.read_model(str(path)).get_ops()]
    assert kinds.count("NativeConv") == 3
    # x is turned for the two that read it, and y turned back.
    assert kinds.count("Transpose") <= 3


def test_an_extension_that_is_not_there_or_does_not_load_is_named(onnx_model, tmp_path, monkeypatch):
    path = written(native_of(onnx_model(RESIDUAL, opset=18, **WEIGHTS)), tmp_path)
    broken = tmp_path / "libdashdeploy_openvino.so"
    monkeypatch.setattr(openvino_extension, "extension_path", lambda: broken)
    again = re.escape("build it with: python -m dashdeploy.export.native.build")
    with pytest.raises(MissingCapabilityError, match=f"extension of OpenVINO is not built; {again}$"):
        load_in_openvino(path)
    broken.write_text("no library")
    with pytest.raises(
        MissingCapabilityError, match=r"does not run in the installed OpenVINO .*; build it again"
    ):
        load_in_openvino(path)


def test_another_version_is_refused_before_openvino_reads_it(onnx_model, tmp_path):
    document = ir.to_proto(native_of(onnx_model(RESIDUAL, opset=18, **WEIGHTS)))
    for opset in document.opset_import:
        if opset.domain == DOMAIN:
            opset.version = 7
    path = tmp_path / "model.native.onnx"
    path.write_bytes(document.SerializeToString())
    with pytest.raises(InputError, match=r"version 7 of the domain dashdeploy.native"):
        load_in_openvino(path)


def test_a_package_without_headers_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "openvino" / "libs").mkdir(parents=True)
    (tmp_path / "openvino" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(module.sys.modules, "openvino", raising=False)
    with pytest.raises(BuildError, match="has no headers or libraries for extensions; install the wheel"):
        build_openvino_extension(tmp_path)
