"""Bundles are read whole and unchanged, or refused with one line that names what is wrong."""

import json
import os

import pytest

from dashdeploy.artifacts.bundle import FORMAT_VERSION, Bundle, Manifest, write_manifest
from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "baseline").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "baseline" / "direct.onnx").write_bytes(b"direct")
    (folder / "plan.json").write_text('{"layers": []}')
    (folder / "broken.json").write_text("{")
    write_manifest(
        folder,
        Manifest(
            name="model",
            inputs=[TensorSpec(name="x", shape=("batch", 1, 40), dtype="float32")],
            outputs=[TensorSpec(name="y", shape=("batch", 10), dtype="float32")],
            labels=["zero", "one"],
            target="ort-cpu",
            precision="fp32",
            source="runs/one",
            tools={"dashdeploy": "0.1.0"},
            files={},
        ),
    )
    return folder


def change_manifest(folder, **changes):
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder):
    with pytest.raises(InputError) as error:
        Bundle.load(folder)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 1
    return str(error.value)


def test_what_is_written_is_read(bundle):
    loaded = Bundle.load(bundle)
    assert sorted(loaded.manifest.files) == ["baseline/direct.onnx", "broken.json", "model.onnx", "plan.json"]
    assert loaded.manifest.inputs[0].shape == ("batch", 1, 40)
    assert loaded.manifest.labels == ["zero", "one"]
    assert loaded.file("baseline/direct.onnx") == bundle / "baseline/direct.onnx"
    assert loaded.read_json("plan.json") == {"layers": []}


def test_a_foreign_file_is_refused(bundle):
    for place in ("model.ts", ".hidden", "baseline/more.onnx", "deep/er/file"):
        file = bundle / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        assert f"{place} is not named in bundle.json" in refusal(bundle)
        file.unlink()
    Bundle.load(bundle)  # an empty folder holds nothing
    for target in (bundle.parent, bundle.parent / "nowhere", bundle / "model.onnx"):
        (bundle / "link").symlink_to(target)
        assert "link is not named" in refusal(bundle)
        (bundle / "link").unlink()


def test_a_file_that_the_manifest_does_not_name_is_not_there(bundle):
    loaded = Bundle.load(bundle)
    assert loaded.file("model.ts") is None
    with pytest.raises(InputError, match=r"the bundle has no parity\.json"):
        loaded.read_json("parity.json")
    with pytest.raises(InputError, match=r"broken\.json cannot be read"):
        loaded.read_json("broken.json")


def test_every_flipped_byte_is_found(bundle):
    for name in ("model.onnx", "baseline/direct.onnx", "plan.json"):
        file = bundle / name
        good = file.read_bytes()
        for position in range(len(good)):
            bad = bytearray(good)
            bad[position] ^= 1
            file.write_bytes(bad)
            assert f"{name} does not match the sha256" in refusal(bundle)
        file.write_bytes(good)
    Bundle.load(bundle)


def test_changed_size_and_missing_file_are_found(bundle):
    (bundle / "model.onnx").write_bytes(b"model ")
    assert "model.onnx does not match" in refusal(bundle)
    (bundle / "model.onnx").unlink()
    assert "model.onnx is missing" in refusal(bundle)
    (bundle / "model.onnx").mkdir()
    assert "model.onnx is missing" in refusal(bundle)
    Bundle.load(bundle, verify=False)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, -1, "1", None, True, 1.0, [1]])
def test_another_format_version_is_refused(bundle, version):
    change_manifest(bundle, format_version=version)
    message = refusal(bundle)
    assert f"format version {version!r}" in message
    assert f"reads {FORMAT_VERSION}" in message


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "baseline/../../outside", "link"])
def test_a_file_outside_the_bundle_is_refused(bundle, name):
    outside = bundle.parent / "outside"
    outside.write_text("secret")
    (bundle / "link").symlink_to(outside)
    change_manifest(bundle, files={name: "0" * 64})
    assert f"outside the bundle: {name!r}" in refusal(bundle)


@pytest.mark.parametrize("name", ["zero\0byte", "n" * 5000, "", "."])
def test_a_name_that_is_no_file_is_refused(bundle, name):
    change_manifest(bundle, files={name: "0" * 64})
    refusal(bundle)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_refused(bundle):
    (bundle / "model.onnx").chmod(0)
    assert "Permission denied" in refusal(bundle)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "[]", "5", "utf", "deep"],
)
def test_a_manifest_that_is_no_manifest_is_refused(bundle, content):
    (bundle / "bundle.json").write_bytes(content)
    assert "bundle.json" in refusal(bundle)


@pytest.mark.parametrize(
    "change, where",
    [
        ({"name": 5}, "name"),
        ({"version": "one"}, "version"),
        ({"version": "0"}, "version"),
        ({"inputs": [{"name": "x", "shape": [-1], "dtype": "float32"}]}, "inputs.0.shape"),
        ({"files": ["model.onnx"]}, "files"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_malformed_field_is_named(bundle, change, where):
    change_manifest(bundle, **change)
    assert f"bundle.json: {where}" in refusal(bundle)


def test_a_path_may_be_text(bundle):
    assert Bundle.load(str(bundle)).path == bundle


def test_a_missing_field_is_named(bundle):
    path = bundle / "bundle.json"
    content = json.loads(path.read_text())
    del content["target"]
    path.write_text(json.dumps(content))
    assert "target: Field required" in refusal(bundle)


def test_missing_bundle_and_folder_without_manifest_are_refused(bundle, tmp_path):
    assert "no such bundle; write one with: `export(" in refusal(tmp_path / "nowhere")
    assert "no such bundle" in refusal(bundle / "model.onnx")
    (bundle / "bundle.json").unlink()
    assert "is not a bundle: it has no bundle.json" in refusal(bundle)
