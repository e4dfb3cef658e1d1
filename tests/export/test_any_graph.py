"""Any graph is exported right, or refused in one line: never a traceback, and never an invalid file."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashdeploy.errors import DashdeployError, InputError
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.random_graphs import models

TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2}
"""Of the largest output: ten times what the parity gate allows, since it measures other inputs by the channel."""


def check(model, **chosen):
    """Export a model, and compare; returns what refused it, if anything did."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "m.onnx", Path(folder) / "out"
        onnx.save(model, path)
        try:
            bundle = export(path, out, ExportSettings(tune="estimate", **chosen))
        except DashdeployError as refusal:
            assert "\n" not in str(refusal).strip()
            assert not out.exists()
            return refusal
        onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
        assert verify(bundle.path).data["good"]
        compiled = OnnxRuntime(bundle.path / "model.onnx")
        examples = ExampleInputs.of(compiled.run, compiled.inputs)
        feeds = examples.feeds(1, np.random.default_rng(3))
        try:
            original = OnnxRuntime(path)
        except (
            InputError
        ):  # what ONNX Runtime refuses and the compiler writes out: automatic padding with dilation
            return None
        got = compiled.run(feeds)
        for name, value in original.run(feeds).items():
            wanted, given_ = value.astype(np.float64), got[name].astype(np.float64)
            assert given_.shape == wanted.shape
            scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-6)
            tolerance = TOLERANCE[bundle.manifest.precision]
            assert np.allclose(given_, wanted, rtol=0, atol=tolerance * scale, equal_nan=True)
    return None


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(models())
def test_a_graph_is_exported_or_refused(model):
    check(model, lowering="fft")


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    models(),
    st.sampled_from(["auto", "auto", "fft", "direct"]),
    st.sampled_from(["fp32", "fp32", "fp16", "int8"]),
)
def test_a_graph_is_exported_or_refused_in_every_way(model, lowering, precision):
    check(model, lowering=lowering, precision=precision)
