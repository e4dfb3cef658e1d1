"""The memory of an export, beside that of plain ONNX Runtime on the same model, each in a fresh process."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

PEAK = """
import pathlib
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
PLAIN = """
import sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
samples = int(sys.argv[2])
feeds = {
    each.name: np.random.default_rng(0).random([samples, *each.shape[1:]], dtype=np.float32)
    for each in session.get_inputs()
}
session.run(None, feeds)
"""
EXPORT = """
import pathlib, sys
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
samples = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
settings = ExportSettings(samples=samples, precision="int8" if samples else "fp32")
export(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), settings)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc"),
]


def peak(program, *arguments):
    """MiB that a process has had at its peak."""
    command = [sys.executable, "-c", program + PEAK, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def test_a_convolution_on_a_spectrogram(tmp_path, onnx_model):
    path = tmp_path / "model.onnx"
    text = (
        "g (float[batch,128,900,161] x) => (float[batch,64,900,161] y) { y = Conv<pads = [1,1,1,1]>(x, w) }"
    )
    onnx.save(onnx_model(text, w=(64, 128, 3, 3)), path)
    assert peak(EXPORT, path, tmp_path / "bundle") <= 4 * peak(PLAIN, path, 1)


class SpliceBlock(nn.Module):
    def __init__(self, taps, dilation):
        super().__init__()
        self.layers = nn.Sequential()
        for _ in range(2):
            conv = nn.Conv1d(32, 32, taps, dilation=dilation, padding=dilation * (taps - 1) // 2)
            self.layers.extend([nn.BatchNorm1d(32), nn.ReLU(), conv])

    def forward(self, x):
        return x + self.layers(x)


class SpliceAI(nn.Module):
    """SpliceAI-10k (Jaganathan et al., "Predicting Splicing from Primary Sequence with Deep Learning", Cell 2019)."""

    def __init__(self):
        super().__init__()
        self.first, self.skip, self.last = nn.Conv1d(4, 32, 1), nn.Conv1d(32, 32, 1), nn.Conv1d(32, 3, 1)
        self.stages, self.skips = nn.ModuleList(), nn.ModuleList()
        for taps, dilation in ((11, 1), (11, 4), (21, 10), (41, 25)):
            self.stages.append(nn.Sequential(*(SpliceBlock(taps, dilation) for _ in range(4))))
            self.skips.append(nn.Conv1d(32, 32, 1))

    def forward(self, x):
        x = self.first(x)
        total = self.skip(x)
        for stage, skip in zip(self.stages, self.skips, strict=True):
            x = stage(x)
            total = total + skip(x)
        return torch.softmax(self.last(total[:, :, 5000:-5000]), 1)


def test_calibration_of_a_long_sequence(tmp_path):
    """Sixteen samples, as plain ONNX Runtime runs them in one call."""
    torch.manual_seed(0)
    model, path, samples = SpliceAI().eval(), tmp_path / "model.onnx", tmp_path / "samples.npz"
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    torch.onnx.export(
        model,
        (torch.zeros(2, 4, 10101),),
        path,
        input_names=["x"],
        dynamic_axes={"x": {0: "batch"}},
        dynamo=False,
        opset_version=17,
    )
    letters = np.random.default_rng(0).integers(0, 4, (16, 10101))
    np.savez(samples, x=np.ascontiguousarray(np.eye(4, dtype="f4")[letters].transpose(0, 2, 1)))
    assert peak(EXPORT, path, tmp_path / "bundle", samples) <= 4 * peak(PLAIN, path, 16)
