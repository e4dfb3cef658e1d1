"""A bundle for the native kernels: what export writes, how it runs, and what is said where it cannot."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from dashdeploy.artifacts.bundle import NATIVE_NAME, Bundle, write_manifest
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.native.build import SOURCES
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.bundle import check_bundle
from dashdeploy.inspect.bundle_tables import artifacts_of
from dashdeploy.runtimes.engines import engine_of, load_engine
from dashdeploy.runtimes.native import library
from dashdeploy.runtimes.native.graph_file import NativeSidecar
from dashdeploy.runtimes.native.model import NativeModel
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

LARGE = """
g (float[N,64,500] x) => (float[N,64,500] y) {
  a = Conv<pads=[90,90], dilations=[10]>(x, w1)
  r = Relu(a)
  b = Conv<pads=[9,9]>(r, w2)
  y = Add(b, x)
}"""


@pytest.fixture(scope="module")
def source(onnx_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "large.onnx"
    model = onnx_model(LARGE, opset=18, w1=(64, 64, 19), w2=(64, 64, 19))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    """The kernels are 5 times as fast as direct here: not even a busy machine makes the race go the other way."""
    folder = tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASHDEPLOY_CACHE", str(folder / "cache"))
        export(source, folder / "bundle", ExportSettings(target="native"))
    return folder / "bundle"


@pytest.fixture
def bundle(written, tmp_path):
    return Bundle.load(shutil.copytree(written, tmp_path / "bundle"))


def test_the_native_model_lies_beside_the_portable_one(bundle, source):
    sidecar = NativeSidecar.model_validate(bundle.read_json(f"{NATIVE_NAME}.json"))
    assert [layer.name for layer in sidecar.layers] == ["w1", "w2"]
    assert all(layer.chosen.startswith("fft") for layer in sidecar.layers)
    assert sidecar.speedup > 1
    assert sidecar.max_relative_error <= 2e-6
    assert sidecar.packed_bytes <= 3.6 * 2 * 64 * 64 * 19 * 4
    (layer, _) = sidecar.layers
    assert min(layer.milliseconds, key=layer.milliseconds.get) == layer.chosen
    x = np.random.default_rng(0).standard_normal((3, 64, 500)).astype(np.float32)
    expected = OnnxRuntime(source).run({"x": x})["y"]
    assert engine_of(bundle).name == "native"
    for engine in (None, "native", "ort-cpu"):
        got = load_engine(bundle, engine, threads=1).run({"x": x})["y"]
        assert np.abs(got - expected).max() <= 2e-6 * np.abs(expected).max()
    found = {each["file"]: each for each in artifacts_of(bundle, bundle.read_json("parity.json"))}
    assert found[NATIVE_NAME]["runs_in"] == "dashdeploy's native kernels"


def test_verify_runs_it(bundle):
    notes = {}
    check_bundle(bundle, lambda name, found: notes.update({name: found}))
    assert re.match(r"differs by \S+ from baseline/direct.onnx, allowed 1e-05 \(\w+\)$", notes[NATIVE_NAME])


def test_a_bundle_says_how_to_run_it_without_the_kernels(bundle, monkeypatch):
    monkeypatch.setenv(library.LIBRARY_VARIABLE, "/nowhere/libdashdeploy_native.so")
    with pytest.raises(MissingCapabilityError) as error:
        load_engine(bundle)
    assert "the native kernels are not built" in str(error.value)
    assert f"run: {library.BUILD_COMMAND}" in str(error.value)
    assert str(error.value).endswith("or run it on the CPU with: `engine=ort-cpu`")
    assert "\n" not in str(error.value)
    notes = {}
    check_bundle(bundle, lambda name, found: notes.update({name: found}))
    assert "not run here: the native kernels are not built" in notes[NATIVE_NAME]
    with pytest.raises(MissingCapabilityError, match="the native kernels are not built"):
        export(
            bundle.path / "baseline" / "direct.onnx",
            bundle.path.parent / "b",
            ExportSettings(target="native"),
        )
    assert not (bundle.path.parent / "b").exists()


def test_another_version_of_the_library_is_refused(monkeypatch):
    version = library.ABI_VERSION
    monkeypatch.setattr(library, "ABI_VERSION", 99)
    library._loaded.cache_clear()
    with pytest.raises(
        MissingCapabilityError,
        match=rf"is of version {version} and this dashdeploy needs 99; build it again",
    ):
        library.load_library()
    library._loaded.cache_clear()


def test_what_is_no_library_is_refused(tmp_path, monkeypatch):
    (tmp_path / "lib.so").write_text("no library")
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "lib.so"))
    with pytest.raises(MissingCapabilityError, match="does not load"):
        library.load_library()


@pytest.mark.parametrize("damage", ["tampered", "truncated"])
def test_a_damaged_file_is_refused_by_its_hash(bundle, damage):
    file = bundle.path / NATIVE_NAME
    content = bytearray(file.read_bytes())
    if damage == "tampered":
        content[len(content) // 2] ^= 1
    file.write_bytes(content[: len(content) // (2 if damage == "truncated" else 1)])
    with pytest.raises(InputError, match="does not match the sha256"):
        Bundle.load(bundle.path)
    # Alone with its sidecar, too, and where somebody wrote a manifest for it.
    with pytest.raises(InputError, match=r"model.native.onnx.json: it was changed; export the model again"):
        NativeModel(file)
    write_manifest(bundle.path, bundle.manifest)
    again = Bundle.load(bundle.path)
    with pytest.raises(InputError, match=r"describes another model\.native\.onnx"):
        check_bundle(again, lambda _name, _found: None)


def test_a_damaged_sidecar_is_refused(bundle):
    sidecar = bundle.path / f"{NATIVE_NAME}.json"
    content = json.loads(sidecar.read_text())
    for text in ("{", json.dumps({**content, "speedup": "fast"}), json.dumps({**content, "more": 1})):
        sidecar.write_text(text)
        with pytest.raises(InputError, match="export the model again"):
            NativeModel(bundle.path / NATIVE_NAME)
    sidecar.unlink()
    (bundle.path / NATIVE_NAME).write_bytes(b"\xff" * 50)
    with pytest.raises(InputError, match="damaged: it is not an ONNX model"):
        NativeModel(bundle.path / NATIVE_NAME)


@pytest.mark.parametrize("settings", [{"precision": "fp16"}, {"precision": "int8"}])
def test_other_precisions_are_refused(source, tmp_path, settings):
    with pytest.raises(InputError, match="`target=native` computes in float32"):
        export(source, tmp_path / "b", ExportSettings(target="native", **settings))


def test_a_model_that_it_does_not_make_faster_keeps_the_portable_one(onnx_model, tmp_path):
    path = tmp_path / "small.onnx"
    text = """
    g (float[N,4,10] x) => (float[N,4,10] y) {
      s = Softmax<axis=1>(x)
      a = Conv(s, w)
      y = Softmax<axis=1>(a)
    }"""
    path.write_bytes(onnx_model(text, opset=18, w=(4, 4, 1)).SerializeToString())
    told = []
    bundle = export(path, tmp_path / "b", ExportSettings(target="native"), progress=told.append)
    assert bundle.file(NATIVE_NAME) is None
    assert bundle.manifest.target == "native"
    assert engine_of(bundle).name == "ort-cpu"
    assert told[-1].startswith(f"no {NATIVE_NAME}: it is 0.")


def test_control_flow_stays_in_onnx_runtime(onnx_model, tmp_path):
    path = tmp_path / "flow.onnx"
    text = """
    g (float[1,16,64] x) => (float[1,16,64] y) {
      a = Conv<pads=[3,3]>(x, w)
      m = ReduceMax<keepdims=0>(a)
      c = Greater(m, zero)
      y = If(c) <then_branch = t () => (float[1,16,64] p) { p = Relu(a) },
                 else_branch = e () => (float[1,16,64] q) { q = Neg(a) }>
    }"""
    model = onnx_model(text, opset=18, w=(16, 16, 7), zero=np.array(0, np.float32))
    path.write_bytes(model.SerializeToString())
    told = []
    settings = ExportSettings(target="native", tune="estimate")
    bundle = export(path, tmp_path / "b", settings, progress=told.append)
    assert bundle.file(NATIVE_NAME) is None
    assert "do not run models with control flow" in told[-1]


def test_the_sources_are_of_a_size_to_read():
    sizes = {path.name: len(path.read_text().splitlines()) for path in SOURCES.iterdir()}
    assert len(sizes) >= 10
    assert {name: lines for name, lines in sizes.items() if lines > 450} == {}


def test_the_versions_of_both_sides_are_the_same():
    text = (Path(SOURCES) / "api.h").read_text()
    assert f"#define DD_ABI_VERSION {library.ABI_VERSION}\n" in text
