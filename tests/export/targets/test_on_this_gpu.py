"""Torch and ONNX Runtime on a GPU as targets; what of it does not need one runs on the CPU."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export import pipeline
from dashdeploy.export.frontend.source import from_modules
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets import on_this_gpu, selection
from dashdeploy.export.targets.absent import DEVICES, named, profile_of
from dashdeploy.export.targets.on_this_gpu import OrtCudaTarget, TorchCudaTarget
from dashdeploy.export.targets.selection import target_of
from dashdeploy.export.targets.single_layer import random_weights
from dashdeploy.export.targets.tensorrt import TensorRTTarget
from dashdeploy.export.verify import speed_gate
from dashdeploy.progress import silent
from dashdeploy.runtimes.engines import engine_of, load_engine
from dashdeploy.runtimes.gpus import Gpu, find_gpus
from dashdeploy.timing import RatioEstimate
from tests.export.convolutions import conv

needs_no_gpu = pytest.mark.skipif(bool(find_gpus()[0]), reason="there is a GPU here")
SPEC = conv(8, 8, 200, 15, pads=7)


@needs_no_gpu
def test_without_a_gpu_torch_is_not_measured():
    with pytest.raises(
        MissingCapabilityError, match=r"torch-cuda` is measured.*`tune=estimate` `device=h100`"
    ) as it:
        target_of(ExportSettings(target="torch-cuda"))
    assert it.value.exit_code == 3


@needs_no_gpu
def test_the_command_ends_with_exit_three_and_one_line(tmp_path, source, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(pipeline, "load_source", lambda *_, **__: source)
    words = ["export", str(tmp_path / "run"), "--target", "torch-cuda", "--quiet"]
    for more in (["--out", str(tmp_path / "b")], ["--dry-run"]):
        done = CliRunner().invoke(app, [*words, *more])
        assert done.exit_code == 3
        assert done.stderr.startswith("error: --target torch-cuda is measured on this machine's GPU: torch ")
        assert done.stderr.endswith("with: --tune estimate --device h100\n")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "b").exists()


def test_an_onnx_model_has_no_torch_module(tmp_path, onnx_model):
    path = tmp_path / "m.onnx"
    onnx.save(onnx_model("g (float[b, 4] x) => (float[b, 4] y) { y = Relu(x) }"), path)
    for words in ([], ["--dry-run"]):
        done = CliRunner().invoke(
            app, ["export", str(path), "--target", "torch-cuda", "--out", str(tmp_path / "b"), *words]
        )
        assert done.exit_code == 1
        assert "--target torch-cuda needs a run" in done.stderr
        assert not (tmp_path / "b").exists()


def test_other_precisions_are_refused():
    with pytest.raises(
        InputError, match="`precision=fp16`: `target=torch-cuda` is planned and checked in float32"
    ):
        target_of(ExportSettings(target="torch-cuda", precision="fp16", device="h100", tune="estimate"))


def test_an_absent_gpu_is_estimated():
    target = target_of(ExportSettings(target="torch-cuda", device="l4", tune="estimate"))
    assert not target.present
    assert target.describe().startswith("torch-cuda on NVIDIA L4, estimated")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Orin", "orin"),
        ("NVIDIA L40S", None),
        ("NVIDIA H200", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090"),
    ],
)
def test_a_gpu_is_known_by_its_name(name, key):
    assert named(name) == key
    assert profile_of(name) is DEVICES[key or "a100"]


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        SPEC.model_copy(update={"pads_begin": (14,), "pads_end": (0,)}),  # causal
        conv(4, 6, (9, 10), (3, 5), pads=((1, 1), (2, 2))),
        SPEC.model_copy(update={"bias": False, "batch": 3}),
    ],
    ids=["same", "causal", "images", "batch"],
)
def test_candidates_are_modules_that_agree(spec):
    """On the CPU in place of a GPU: the same modules, whose times are the wall clock's."""
    target = TorchCudaTarget("cpu")
    weight, bias = random_weights(spec)
    direct = target.load_layer(Direct(), spec, weight, bias)
    generator = np.random.default_rng(0)
    x = generator.standard_normal((spec.batch, spec.in_channels, *spec.spatial), dtype=np.float32)
    convolve = (nn.functional.conv1d, nn.functional.conv2d)[spec.rank - 1]
    around = [s for pair in reversed(list(zip(spec.pads_begin, spec.pads_end, strict=True))) for s in pair]
    expected = convolve(
        nn.functional.pad(torch.from_numpy(x), around),
        torch.from_numpy(weight),
        None if bias is None else torch.from_numpy(bias),
    ).numpy()
    np.testing.assert_allclose(direct.run({"x": x})["y"], expected, rtol=0, atol=1e-5)
    candidates = [kind.variants(spec)[0] for kind in LOWERINGS if kind.refuses(spec) is None]
    assert len(candidates) >= 2
    times, errors = target.measure(candidates, spec, seconds=0.02)
    assert all((series > 0).all() for series in times)
    assert errors[0] == 0
    assert max(errors) < 1e-5
    assert 0 < target.estimate(Direct(), spec) < target.estimate(FFT((40,) * spec.rank), spec)


def test_every_gpu_orders_its_candidates_by_published_rates(monkeypatch):
    """What the planner asks before it measures anything; it was once refused on a GPU that is here."""
    found = TensorRTTarget.__new__(TensorRTTarget)
    found._gpu = Gpu(name="NVIDIA L4", compute_capability="8.9")
    assert found.estimate(Direct(), SPEC) == DEVICES["l4"].seconds(Direct(), SPEC)
    monkeypatch.setattr(on_this_gpu.OnnxRuntime, "engine_version", staticmethod(lambda: "1.31.1"))
    ort = OrtCudaTarget("NVIDIA H100 80GB HBM3")
    assert ort.estimate(FFT((40,)), SPEC) == DEVICES["h100"].seconds(FFT((40,)), SPEC)
    assert ort.describe() == "ONNX Runtime 1.31.1 with CUDA, NVIDIA H100 80GB HBM3, without TF32"


def test_onnx_runtime_is_measured_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(
        selection, "find_gpus", lambda: ([Gpu(name="NVIDIA L4", compute_capability="8.9")], "a driver")
    )
    assert isinstance(target_of(ExportSettings(target="ort-cuda")), OrtCudaTarget)
    with pytest.raises(InputError, match="which device"):
        target_of(ExportSettings(target="ort-cuda", tune="estimate"))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 16, 31, padding="same"), nn.Conv1d(16, 16, 31, padding="same")

    def forward(self, x):
        return self.second(self.first(x).relu()).mean(-1)


@pytest.fixture
def source(tmp_path):
    torch.manual_seed(0)
    return from_modules(tmp_path / "net", Net().eval(), None, (2, 300), silent)


@pytest.fixture
def on_the_cpu(monkeypatch):
    """The whole way of an export for torch on a GPU, with torch on the CPU in the GPU's place."""
    monkeypatch.setattr(selection, "TorchCudaTarget", lambda: TorchCudaTarget("cpu"))


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(("speedup", "shipped"), [(1.5, "compiled"), (0.5, "direct")])
def test_a_bundle_for_torch_on_a_gpu(source, tmp_path, monkeypatch, speedup, shipped):
    raced = []

    def ratio(direct, compiled):
        raced.append((len(direct), len(compiled)))
        return RatioEstimate(speedup, speedup, speedup)

    monkeypatch.setattr(speed_gate, "ratio_of", ratio)  # the race on this CPU says nothing
    monkeypatch.setattr("dashdeploy.export.planning.planner.WORTHWHILE", 0.0)  # FFT wins whatever it measures
    bundle = pipeline.export_source(source, tmp_path / "bundle", ExportSettings(target="torch-cuda"))
    assert raced
    assert bundle.manifest.target == "torch-cuda"
    assert engine_of(bundle).name == "torch-cuda"
    plan = bundle.read_json("plan.json")
    assert (plan["target"], plan["tune"], plan["speed"]["shipped"]) == ("torch-cuda", "measure", shipped)
    assert "without TF32" in plan["device"]
    chosen = {layer["name"]: layer["chosen"] for layer in plan["layers"]}
    layers = json.loads((bundle.path / "model.pt2.json").read_text())["layers"]
    if shipped == "compiled":
        assert {name: layers[name] for name in chosen} == chosen
        assert any(each != "direct" for each in chosen.values())
        for layer in plan["layers"]:
            assert all(each["cost_ms"] > 0 for each in layer["candidates"] if each["refused"] is None)
    else:
        assert set(chosen.values()) == set(layers.values()) == {"direct"}
    # Both were checked: the module on the target, the portable model in ONNX Runtime.
    engines = [each["engine"] for each in bundle.read_json("parity.json")["engines"]]
    assert any(each.startswith("torch ") for each in engines)
    assert any(each.startswith("ONNX Runtime ") and "CPU" in each for each in engines)
    assert Bundle.load(bundle.path).file("model.pt2") is not None


@pytest.mark.usefixtures("on_the_cpu")
def test_a_dry_run_plans_for_torch(source, monkeypatch):
    monkeypatch.setattr(pipeline, "load_source", lambda *_, **__: source)
    plan = pipeline.plan_export(source.path, ExportSettings(target="torch-cuda", lowering="fft"))
    assert plan.target == "torch-cuda"
    assert all(layer.chosen.startswith("fft") for layer in plan.layers)


def test_an_absent_gpu_gets_a_bundle_by_estimates(source, tmp_path):
    settings = ExportSettings(target="torch-cuda", device="h100", tune="estimate")
    bundle = pipeline.export_source(source, tmp_path / "bundle", settings)
    plan = bundle.read_json("plan.json")
    assert plan["device"].startswith("torch-cuda on NVIDIA H100 SXM5 80 GB, estimated")
    assert (bundle.path / "model.pt2").exists()
    if not find_gpus()[0]:
        with pytest.raises(
            MissingCapabilityError, match=r"was made for torch-cuda: torch .*`engine=ort-cpu`$"
        ):
            load_engine(bundle)
        x = np.random.default_rng(0).standard_normal((2, 2, 300), dtype=np.float32)
        with torch.inference_mode():
            expected = source.module(torch.from_numpy(x)).numpy()
        (name,) = (spec.name for spec in bundle.manifest.inputs)
        (found,) = load_engine(bundle, "ort-cpu").run({name: x}).values()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["torch-cuda", "ort-cuda"])
def test_candidates_are_measured_on_a_gpu(name):
    if not find_gpus()[0]:
        pytest.skip(f"no GPU: {find_gpus()[1]}")
    try:
        target = target_of(ExportSettings(target=name))
        times, errors = target.measure([Direct(), FFT((40,))], SPEC, seconds=0.1)
    except MissingCapabilityError as error:  # torch or onnxruntime without CUDA is no fault
        pytest.skip(str(error))
    assert all((series > 0).all() for series in times)
    assert 0 <= errors[1] < 1e-5


@pytest.mark.gpu
def test_a_bundle_is_made_on_a_gpu(source, tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    pytest.importorskip("onnxruntime")
    bundle = pipeline.export_source(source, tmp_path / "bundle", ExportSettings(target="torch-cuda"))
    assert torch.cuda.get_device_name() in bundle.read_json("plan.json")["device"]
