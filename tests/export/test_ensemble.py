"""A run with an ensemble becomes one model whose outputs are the mean of its members' predictions."""

import json

import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, logit, softmax

import dashdeploy
from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.backbones.ensemble import Ensemble
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.add_artifacts import add_artifacts
from dashdeploy.export.deploy.model_identity import ModelIdentity
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.conftest import ARCHITECTURE, write_ensemble

TOLERANCE = 1e-5
"""Of the largest output, in float32: the contract."""

MEMBERS = 2
FORCED = ExportSettings(lowering="fft", tune="estimate")
DIRECT = ExportSettings(lowering="direct", tune="estimate")


def outputs_of(networks, samples):
    """[members, samples, outputs], each network by itself."""
    with torch.inference_mode():
        found = [network(torch.from_numpy(samples)).double().numpy() for network in networks]
    assert np.abs(found[0] - found[1]).max() > 0.1 * np.abs(found[0]).max()
    return np.stack(found)


def expected_of(kind, outputs):
    """What the ensemble says, in double precision, from its members' outputs."""
    if kind == "classification":
        return np.log(softmax(outputs, axis=2).mean(0))
    return logit(expit(outputs).mean(0)) if kind == "multi-label" else outputs.mean(0)


def error(bundle, name, samples, expected):
    got = OnnxRuntime(bundle.path / name, threads=1).run({"input": samples})["logits"]
    return np.abs(got - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("settings", [FORCED, DIRECT], ids=["fft", "direct"])
@pytest.mark.parametrize("kind", ["classification", "multi-label", "regression"])
def test_the_exported_model_is_the_mean_of_the_members(tmp_path, kind, settings):
    networks, samples = write_ensemble(folder := tmp_path / "run", MEMBERS, kind=kind)
    bundle = export(folder, tmp_path / "out", settings)
    outputs = outputs_of(networks, samples)
    expected = expected_of(kind, outputs)
    for name in ("model.onnx", "baseline/direct.onnx"):
        assert error(bundle, name, samples, expected) <= TOLERANCE
    assert error(bundle, "baseline/single.onnx", samples, outputs[0]) <= TOLERANCE
    assert error(bundle, "baseline/backbone.onnx", samples, expected) > 1e-2
    manifest = bundle.manifest
    assert (manifest.ensemble, manifest.labels) == (MEMBERS, ["low", "mid", "high"])
    assert (manifest.inputs[0].name, manifest.outputs[0].name) == ("input", "logits")
    chosen = [layer["chosen"].partition("(")[0] for layer in bundle.read_json("plan.json")["layers"]]
    assert chosen.count("fft") == (11 * MEMBERS if settings is FORCED else 0)
    assert bundle.read_json("parity.json")["tolerance"] == TOLERANCE


def test_every_position_is_averaged_by_itself(tmp_path):
    content = ARCHITECTURE | {"arguments": ARCHITECTURE["arguments"] | {"dense": True}}
    networks, samples = write_ensemble(
        tmp_path / "run", 2, content=content, dense=True, kind="classification"
    )
    bundle = export(tmp_path / "run", tmp_path / "out", FORCED)
    expected = expected_of("classification", outputs_of(networks, samples))
    assert expected.shape == (20, 3, 64)
    assert error(bundle, "model.onnx", samples, expected) <= TOLERANCE


def test_softmax_of_the_output_are_the_mean_probabilities(tmp_path):
    networks, samples = write_ensemble(folder := tmp_path / "run", MEMBERS)
    bundle = export(folder, tmp_path / "out", FORCED)
    got = OnnxRuntime(bundle.path / "model.onnx", threads=1).run({"input": samples})["logits"]
    expected = softmax(outputs_of(networks, samples), axis=2).mean(0)
    np.testing.assert_allclose(softmax(got, axis=1), expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(got).sum(1), 1, atol=1e-5)
    assert (got.argmax(1) == expected.argmax(1)).all()


def test_scaled_numbers_come_out_in_the_units_of_the_data(tmp_path):
    scaling = {"outputs": {"mean": [1000.0, 0.0, -5.0], "deviation": [300.0, 1.0, 0.01]}}
    networks, samples = write_ensemble(
        folder := tmp_path / "run", MEMBERS, kind="regression", scaling=scaling
    )
    expected = outputs_of(networks, samples).mean(0) * [300, 1, 0.01] + [1000, 0, -5]
    bundle = export(folder, tmp_path / "out", FORCED)
    got = OnnxRuntime(bundle.path / "model.onnx", threads=1).run({"input": samples})["logits"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["classification", "multi-label"])
def test_outputs_far_from_zero_neither_overflow_nor_become_infinite(kind):
    outputs = np.array([[[300.0, -300.0, 0.0]], [[-200.0, 250.0, 90.0]]])
    members = [torch.nn.Identity() for _ in outputs]
    ensemble = Ensemble(members, kind)
    got = ensemble.combine(torch.from_numpy(outputs).float()).double().numpy()
    if kind == "classification":
        expected = np.logaddexp.reduce(log_softmax(outputs, axis=2), axis=0) - np.log(2)
    else:
        parts = [np.logaddexp.reduce(-np.logaddexp(0, sign * outputs), axis=0) for sign in (-1, 1)]
        expected = parts[0] - parts[1]
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_equal_convolutions_of_the_members_share_a_plan(tmp_path):
    write_ensemble(folder := tmp_path / "run", MEMBERS)
    plans = [
        plan_export(folder, ExportSettings(tune="estimate", ensemble=wanted)) for wanted in (None, False)
    ]
    whole, one = ([(layer.spec, layer.chosen) for layer in plan.layers] for plan in plans)
    assert whole == MEMBERS * one


def test_the_first_member_alone(tmp_path):
    networks, samples = write_ensemble(folder := tmp_path / "run", MEMBERS)
    bundle = export(folder, tmp_path / "out", FORCED.model_copy(update={"ensemble": False}))
    assert error(bundle, "model.onnx", samples, outputs_of(networks, samples)[0]) <= TOLERANCE
    assert bundle.manifest.ensemble == 1
    assert "ensemble" not in json.loads((bundle.path / "bundle.json").read_text())
    assert bundle.file("baseline/single.onnx") is None
    together = export(folder, tmp_path / "together", FORCED.model_copy(update={"ensemble": True}))
    assert json.loads((together.path / "bundle.json").read_text())["ensemble"] == MEMBERS
    # Both are versions of one model in a Triton repository.
    assert ModelIdentity.of(together).difference(ModelIdentity.of(bundle)) is None


@pytest.mark.slow
def test_torch_files_hold_the_ensemble_as_well(tmp_path):
    networks, samples = write_ensemble(folder := tmp_path / "run", 2)
    bundle = dashdeploy.compile(
        Run.load(folder), out=tmp_path / "out", lowering="fft", tune="estimate",
        artifacts={"torchscript": True, "pt2": True},
    )  # fmt: skip
    expected = expected_of("classification", outputs_of(networks, samples))
    inputs = torch.from_numpy(samples)
    with torch.inference_mode():
        for module in (
            torch.jit.load(bundle.path / "model.ts"),
            torch.export.load(bundle.path / "model.pt2").module(),
        ):
            np.testing.assert_allclose(module(inputs).numpy(), expected, atol=1e-5 * np.abs(expected).max())
    layers = bundle.read_json("model.ts.json")["layers"]
    assert sum(name.startswith("fft") for name in layers.values()) == 22


@pytest.mark.parametrize("ensemble", [True, False])
def test_what_has_no_ensemble_refuses_the_choice(tmp_path, finished_run, ensemble):
    folder, _, _ = finished_run
    settings = FORCED.model_copy(update={"ensemble": ensemble})
    with pytest.raises(InputError, match=r"`ensemble` has no effect: .*run has one network alone"):
        export(folder, tmp_path / "out", settings)
    bundle = export(folder, tmp_path / "one", DIRECT)
    with pytest.raises(InputError, match="`ensemble` is for runs"):
        export(bundle.path / "model.onnx", tmp_path / "out", settings)
    with pytest.raises(InputError, match="`ensemble` needs the run or the model"):
        asked = ExportSettings(ensemble=ensemble, artifacts={"trt_rtx": True})
        add_artifacts(bundle.path, None, asked)
    assert Bundle.load(bundle.path).manifest.ensemble == 1


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precisions(tmp_path, precision):
    networks, samples = write_ensemble(folder := tmp_path / "run", MEMBERS)
    expected = expected_of("classification", outputs_of(networks, samples))
    bundle = export(folder, tmp_path / "out", DIRECT.model_copy(update={"precision": precision}))
    assert bundle.manifest.precision == precision
    # As much as the precision allows: see `dashdeploy.export.verify.parity.TOLERANCE`.
    assert error(bundle, "model.onnx", samples, expected) <= {"fp16": 1e-2, "int8": 0.5}[precision]
