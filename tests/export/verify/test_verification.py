"""`verify` passes what export wrote and refuses what was changed afterwards."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dashdeploy.artifacts.bundle import Bundle, Manifest, write_manifest
from dashdeploy.errors import GateError, InputError
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.pipeline import export, export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify


def silent(_line):
    pass


def checks(path):
    return dict(verify(path, silent).checks)


@pytest.fixture
def source(tmp_path, onnx_model):
    text = (
        "g (float[b,4,64] x) => (float[b,3] y) "
        '{ c = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight") h = Relu(c) '
        "m = ReduceMean<axes = [2], keepdims = 0>(h) y = Gemm<transB = 1>(m, w) }"
    )
    onnx.save(onnx_model(text, **{"stem.weight": (6, 4, 11), "w": (3, 6)}), tmp_path / "m.onnx")
    samples = np.random.default_rng(0).standard_normal((40, 4, 64)).astype("f4")
    np.savez(tmp_path / "c.npz", x=samples)
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_what_export_writes_passes(source, precision):
    settings = ExportSettings(
        precision=precision,
        lowering="fft",
        tune="estimate",
        calibration=source.with_name("c.npz") if precision == "int8" else None,
    )
    bundle = export(source, source.with_name("out"), settings)
    found = checks(bundle.path)
    assert list(found) == ["files", "schema", "versions", "interface", "model.onnx"]
    assert found["versions"] == "the same as here"
    assert "differs by" in found["model.onnx"]


def test_engines_are_checked_against_their_sidecars(source):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    artifacts = ArtifactSettings(trt_rtx=True, engine=EngineSettings(compute_capabilities=("8.9",)))
    settings = ExportSettings(lowering="direct", tune="estimate", artifacts=artifacts)
    path = export(source, source.with_name("out"), settings).path
    assert "TensorRT-RTX" in checks(path)["model.rtx"]
    sidecar = json.loads((path / "model.rtx.json").read_text())
    for change, message in (
        ({"sha256": "0" * 64}, r"model\.rtx\.json describes another model\.rtx"),
        ({"model_sha256": "0" * 64}, r"model\.rtx was built from another model\.onnx"),
        ({"colour": "red"}, r"model\.rtx\.json: colour"),
    ):
        (path / "model.rtx.json").write_text(json.dumps(sidecar | change))
        seal(path)
        with pytest.raises(InputError, match=message):
            verify(path, silent)


def test_torch_files_run_again(tmp_path, small_source):
    settings = ExportSettings(
        lowering="direct", tune="estimate", artifacts=ArtifactSettings(torchscript=True)
    )
    path = export_source(small_source, tmp_path / "out", settings).path
    assert "differs by" in checks(path)["model.ts"]
    (path / "model.ts").write_bytes(b"no model")
    sidecar = json.loads((path / "model.ts.json").read_text())
    seal(path)
    sidecar["sha256"] = Bundle.load(path).manifest.files["model.ts"]
    (path / "model.ts.json").write_text(json.dumps(sidecar))
    seal(path)
    with pytest.raises(GateError, match="does not run in a fresh process"):
        verify(path, silent)


def seal(path, **changes):
    """Write the manifest again, as somebody would who tampers with care."""
    manifest = Manifest.model_validate(json.loads((path / "bundle.json").read_text()))
    write_manifest(path, manifest.model_copy(update=changes))


def test_a_bundle_made_by_hand_passes_and_notes_versions(written_bundle):
    found = checks(written_bundle)
    assert found["versions"].startswith("made with dashdeploy 0 (here ")
    assert found["files"].startswith("all 4 match")


def test_careful_tampering_is_found_by_parity(written_bundle):
    model = onnx.load(written_bundle / "model.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1.001), "gain"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["r", "gain"], ["y"]))
    model.graph.node[0].output[0] = "r"
    onnx.save(model, written_bundle / "model.onnx")
    seal(written_bundle)
    with pytest.raises(
        GateError, match=r"model\.onnx: y \(random, batch 1\) differs .* by 1\.00e-03"
    ) as error:
        verify(written_bundle, silent)
    assert error.value.exit_code == 4
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("plan.json", {"layers": 5}, r"plan\.json: layers: "),
        ("plan.json", {"colour": "red"}, r"plan\.json: colour: "),
        ("parity.json", {"tolerance": "much"}, r"parity\.json: tolerance: "),
        ("parity.json", {"precision": "int8"}, r"parity\.json is for int8, the manifest for fp32"),
    ],
)
def test_papers_of_another_form_are_refused(written_bundle, file, change, message):
    path = written_bundle / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    seal(written_bundle)
    with pytest.raises(InputError, match=message):
        verify(written_bundle, silent)


def test_a_manifest_that_describes_another_model_is_refused(written_bundle):
    inputs = Bundle.load(written_bundle).manifest.inputs
    seal(written_bundle, inputs=[spec.model_copy(update={"shape": ("batch", 5)}) for spec in inputs])
    with pytest.raises(InputError, match=r"the manifest's inputs are not those of model\.onnx"):
        verify(written_bundle, silent)


def test_places_that_are_nothing_of_the_kind(tmp_path):
    with pytest.raises(InputError, match="no such bundle, Triton repository or InferenceService"):
        verify(tmp_path / "nowhere", silent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is not a bundle"):
        verify(tmp_path / "empty", silent)


def tamper_flip(path):
    content = bytearray((path / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "model.onnx").write_bytes(content)


def tamper_missing(path):
    (path / "plan.json").unlink()


def tamper_foreign(path):
    (path / "baseline" / "backbone.onnx").write_bytes((path / "model.onnx").read_bytes())


def tamper_version(path):
    manifest = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps(manifest | {"format_version": 2}))


TAMPERED = {
    tamper_flip: "model.onnx does not match the sha256",
    tamper_missing: "plan.json is missing",
    tamper_foreign: "backbone.onnx is not named in bundle.json",
    tamper_version: "format version 2, but this dashdeploy reads 1",
}


@pytest.mark.parametrize("tamper", TAMPERED, ids=lambda tamper: tamper.__name__)
def test_verify_serve_and_bench_refuse_what_was_changed(written_bundle, tamper):
    from typer.testing import CliRunner

    from dashdeploy.cli.app import app

    tamper(written_bundle)
    for command in (
        ["verify", written_bundle],
        ["serve", written_bundle, "--http-port", "0", "--grpc-port", "0"],
        ["bench", "latency", written_bundle],
        ["inspect", written_bundle],
        ["export", written_bundle, "--trt-rtx"],
    ):
        result = CliRunner().invoke(app, [str(word) for word in command])
        assert result.exit_code == 1, command
        assert TAMPERED[tamper] in result.stderr
        assert result.stderr.count("\n") == 1
