"""TorchScript and torch.export: the plan's layers, loadable with plain torch, the same numbers."""

import json
from hashlib import sha256

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.pipeline import export, export_source
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.torch.fresh_process import run_fresh
from dashdeploy.export.torch.model import lower_module, save_torchscript
from dashdeploy.ops.conv.fft_conv import FFTConv

BOTH = ArtifactSettings(torchscript=True, pt2=True)


def test_both_files_say_what_pytorch_says(tmp_path, small_source):
    samples = small_source.samples["input"]
    settings = ExportSettings(lowering="fft", tune="estimate", artifacts=BOTH)
    bundle = export_source(small_source, tmp_path / "out", settings)
    with torch.no_grad():
        expected = small_source.module(torch.from_numpy(samples)).numpy()
    plan = {layer["name"]: layer["chosen"] for layer in bundle.read_json("plan.json")["layers"]}
    # That the files run in a fresh process, too, is what export checked; its figures are in the sidecars.
    models = {
        "model.ts": torch.jit.load(bundle.path / "model.ts"),
        "model.pt2": torch.export.load(bundle.path / "model.pt2").module(),
    }
    for name, model in models.items():
        path = bundle.path / name
        with torch.inference_mode():
            every, one = (model(torch.from_numpy(x)).numpy() for x in (samples, samples[:1]))
        assert np.abs(every - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(one - expected[:1]).max() <= 1e-5 * np.abs(expected).max()
        sidecar = json.loads((bundle.path / f"{name}.json").read_text())
        assert sidecar["sha256"] == sha256(path.read_bytes()).hexdigest() == bundle.manifest.files[name]
        assert sidecar["torch"] == torch.__version__
        assert sidecar["layers"] == plan
        assert all(chosen.startswith("fft") for chosen in plan.values())
        assert [entry["inputs"] for entry in sidecar["parity"]["outputs"]] == [
            "random, batch 1",
            "random, batch 3",
            "validation, batch 20",
        ]
        assert max(entry["max_relative_error"] for entry in sidecar["parity"]["outputs"]) <= 1e-5
        assert sidecar["parity"]["outputs"][-1]["top1_agreement"] == 1


def test_an_onnx_model_has_no_torch_module(tmp_path, onnx_model):
    onnx.save(onnx_model("g (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"`torchscript` needs a run: .*m\.onnx is an ONNX model"):
        export(tmp_path / "m.onnx", tmp_path / "out", ExportSettings(artifacts=BOTH))
    assert not (tmp_path / "out").exists()


class Reflecting(nn.Module):
    """Two convolutions of which one pads with something else than zeros."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv1d(2, 3, 5, padding="same", dilation=2)
        self.reflecting = nn.Conv1d(3, 3, 5, padding=4, dilation=2, padding_mode="reflect")

    def forward(self, x):
        return self.reflecting(self.plain(x))


def test_a_module_that_is_not_the_graphs_convolution_stays(tmp_path):
    torch.manual_seed(0)
    module = Reflecting().eval()
    common = {"spatial": (32,), "kernel": (5,), "strides": (1,), "dilations": (2,)}
    specs = {
        "plain": ConvSpec(in_channels=2, out_channels=3, pads_begin=(4,), pads_end=(4,), bias=True, **common),
        "reflecting": ConvSpec(
            in_channels=3, out_channels=3, pads_begin=(0,), pads_end=(0,), bias=True, **common
        ),
        "functional": None,
    }
    lowered = lower_module(module, {"plain": FFT((16,)), "reflecting": FFT((16,))}, specs)
    assert isinstance(lowered.module.plain, FFTConv)
    assert isinstance(lowered.module.reflecting, nn.Conv1d)
    assert isinstance(module.plain, nn.Conv1d)  # the original is as it was
    assert lowered.layers == {"plain": "fft(tile=16)", "reflecting": "direct", "functional": "direct"}
    x = torch.randn(3, 2, 32)
    save_torchscript(lowered.module, x[:2], tmp_path / "model.ts")
    got = run_fresh(tmp_path / "model.ts", {"x": x.numpy()})["x"]
    expected = module(x).detach().numpy()
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_what_does_not_run_alone_is_refused(tmp_path):
    for name in ("model.ts", "model.pt2"):
        (tmp_path / name).write_bytes(b"no model")
        with pytest.raises(GateError, match="does not run in a fresh process with plain torch") as error:
            run_fresh(tmp_path / name, {"x": np.zeros(3, np.float32)})
        assert "\n" not in str(error.value)


def test_the_fresh_process_has_no_dashdeploy(tmp_path):
    """A file that unpickles something of dashdeploy's would work here and nowhere else."""
    program = torch.export.export(nn.Linear(3, 2), (torch.zeros(2, 3),))
    torch.export.save(program, tmp_path / "model.pt2", extra_files={"note": "plain"})
    assert run_fresh(tmp_path / "model.pt2", {"x": np.zeros((2, 3), np.float32)})["x"].shape == (2, 2)
    from dashdeploy.export.torch import fresh_process

    assert 'raise ImportError("the model needs dashdeploy")' in fresh_process._PROGRAM
