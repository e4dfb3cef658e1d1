"""What many tests need: small data, and a run and a bundle that were written by hand rather than trained."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings

from dashdeploy.artifacts.bundle import (
    DIRECT_NAME,
    MODEL_NAME,
    PARITY_NAME,
    PLAN_NAME,
    Manifest,
    write_manifest,
)
from dashdeploy.artifacts.tensor_spec import TensorSpec

# Tests that run side by side share the cores: OpenMP threads that wait for a core cost more than they bring.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

# A busy machine is not a failure. The rest is Hypothesis's own profile, which it chooses by the environment.
settings.register_profile(
    "unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _short_timings() -> Iterator[None]:
    """Plans are made from a tenth of the timing: no test depends on which candidate is the fastest."""
    from dashdeploy.export.native import layer_costs
    from dashdeploy.export.planning import planner
    from dashdeploy.export.verify import batch_piece, speed_gate

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (planner, "SECONDS_PER_CANDIDATE"),
            (layer_costs, "_SECONDS_PER_CANDIDATE"),
            (batch_piece, "_SECONDS"),
            (speed_gate, "_SECONDS"),
        ):
            patch.setattr(module, name, getattr(module, name) / 10)
        yield


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# Of a module: while Playwright's loop runs, no other one can in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, headless; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as tools:
        # Without one of the system, the one that `playwright install chromium` brings.
        if not Path(CHROMIUM or tools.chromium.executable_path).exists():
            pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def waves() -> dict[str, npt.NDArray[np.generic]]:
    """Sine waves of as many frequencies as classes: a task that a network learns in seconds."""
    examples, length, classes = 60, 32, 3
    generator = np.random.default_rng(0)
    time = np.arange(length) / length

    def split(count: int) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]:
        labels = np.arange(count) % classes
        phase = generator.uniform(0, 2 * np.pi, (count, 1))
        waves = np.sin(2 * np.pi * 3 * (labels[:, None] + 1) * time + phase)
        return (waves + 0.1 * generator.standard_normal(waves.shape)).astype(np.float32)[:, None, :], labels

    x_train, y_train = split(examples)
    x_test, y_test = split(examples // 2)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture
def npz(tmp_path: Path, waves: dict[str, npt.NDArray[np.generic]]) -> Path:
    """A file of good data."""
    path = tmp_path / "data.npz"
    np.savez(path, **waves)
    return path


@pytest.fixture
def written_run(tmp_path: Path) -> Path:
    """A run directory whose JSON files are as search writes them; its weights are not a network's."""
    run = tmp_path / "run"
    run.mkdir()
    layers = [
        {"name": "a", "kernel_size": 3, "dilation": 1, "alpha": [[0.4, 0.1], [0.2, 0.3]]},
        {"name": "b", "kernel_size": 7, "dilation": 5, "alpha": [[0.0, 0.0], [0.0, 1.0]]},
    ]
    architecture = {
        "backbone": "resnet1d",
        "arguments": {"in_channels": 1},
        "kernel_sizes": [3, 7],
        "dilations": [1, 5],
        "layers": layers,
    }
    metrics = {
        "task": "waves",
        "metric": "accuracy",
        "searched": {"validation": 0.9, "test": 0.875},
        "backbone": {"validation": 0.8, "test": 0.75},
        "seconds": {"search": 10.0, "tune": 0.0, "retrain": 5.0, "backbone": 4.0},
    }
    for name, content in (("config", {}), ("architecture", architecture), ("metrics", metrics)):
        (run / f"{name}.json").write_text(json.dumps(content))
    (run / "model.safetensors").write_bytes(b"")
    return run


PLAN = {
    "target": "ort-cpu",
    "device": "ONNX Runtime, CPU",
    "threads": 1,
    "tune": "measure",
    "lowering": "auto",
    "layers": [
        {
            "name": "first",
            "spec": {
                "in_channels": 16,
                "out_channels": 32,
                "groups": 1,
                "spatial": [40],
                "kernel": [7],
                "strides": [1],
                "dilations": [3],
                "pads_begin": [9],
                "pads_end": [9],
                "bias": True,
                "dtype": "float32",
            },
            "chosen": "fft(tile=16)",
            "reason": "1.5x as fast as direct",
            "candidates": [
                {"lowering": "direct", "multiply_adds": 143360, "cost_ms": 0.03, "refused": None},
                {"lowering": "fft(tile=16)", "multiply_adds": 90000, "cost_ms": 0.02, "refused": None},
            ],
        },
        {
            "name": "second",
            "spec": None,
            "chosen": "direct",
            "reason": "the spatial size is dynamic",
            "candidates": [
                {"lowering": "fft", "multiply_adds": None, "cost_ms": None, "refused": "dynamic"},
            ],
        },
    ],
    "speed": None,
}

PARITY = {
    "precision": "fp32",
    "reference": "PyTorch",
    "tolerance": 1e-5,
    "outputs": [
        {
            "output": "y",
            "inputs": "random, batch 3",
            "max_abs_error": 3e-7,
            "max_relative_error": 2e-7,
            "cosine": 1.0,
            "top1_agreement": None,
        }
    ],
}


@pytest.fixture
def written_bundle(tmp_path: Path) -> Path:
    """A bundle whose model, y = relu(x), is real, small and made by hand."""
    import onnx
    from onnx import TensorProto, helper

    bundle = tmp_path / "rectifier"
    (bundle / "baseline").mkdir(parents=True)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "rectifier", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, bundle / MODEL_NAME)
    onnx.save(model, bundle / DIRECT_NAME)
    (bundle / PLAN_NAME).write_text(json.dumps(PLAN))
    (bundle / PARITY_NAME).write_text(json.dumps(PARITY))
    manifest = Manifest(
        name="rectifier",
        inputs=[TensorSpec(name="x", shape=("batch", 4), dtype="float32")],
        outputs=[TensorSpec(name="y", shape=("batch", 4), dtype="float32")],
        target="ort-cpu",
        precision="fp32",
        source="by hand",
        tools={"dashdeploy": "0"},
        files={},
    )
    write_manifest(bundle, manifest)
    return bundle
