"""Export for every engine of this machine's CPU: plan and parity in that engine, and what the bundle says of it."""

import json
from functools import partial

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.errors import GateError, InputError, MissingCapabilityError
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.pipeline import export, export_source, plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.base import Target
from dashdeploy.export.targets.onnx_engine import OnnxEngineTarget
from dashdeploy.export.targets.selection import CPU_TARGETS, target_of
from dashdeploy.export.verify.verification import verify
from dashdeploy.inspect.inspection import inspect_bundle
from dashdeploy.runtimes.engines import load_engine
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from tests.export.convolutions import conv

SPEC = conv(8, 8, 200, 15, pads=7)
OTHERS = [
    pytest.param(name, marks=pytest.mark.slow) if name in (TargetName.AOTI, TargetName.EXECUTORCH) else name
    for name in CPU_TARGETS
    if name not in (TargetName.ORT_CPU, TargetName.NATIVE)
]


def needs(name):
    reason = ONNX_ENGINES[name].missing()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def pooled(onnx_model, tmp_path):
    """A model whose average pool rounds its output's size up, which OpenVINO computes otherwise."""
    model = onnx_model(
        """net (float[batch, 2, 40] x) => (float[batch, 4, 21] y) {
            c = Conv<pads = [7, 7]>(x, w)
            y = AveragePool<kernel_shape = [3], strides = [2], pads = [1, 1], ceil_mode = 1, count_include_pad = 1>(c)
        }""",
        w=(4, 2, 15),
        opset=19,
    )
    onnx.save(model, tmp_path / "pooled.onnx")
    return tmp_path / "pooled.onnx"


@pytest.mark.parametrize(
    "name",
    [
        "ort-web",
        "mnn",
        "iree",
        "litert",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("aoti", "executorch")),
    ],
)
def test_engines_measure_and_agree(name):
    needs(name)
    target = OnnxEngineTarget(TargetName(name), 1)
    times, errors = target.measure([Direct(), FFT((40,))], SPEC, seconds=0.02)
    assert len(times[0]) == len(times[1]) >= 7 and (times[0] > 0).all()
    assert errors[0] == 0 and 0 < errors[1] < 1e-5  # another order of summation, the same numbers
    assert target.name == name and "1 thread(s)" in target.describe()


def test_the_forms_that_are_measured_for_the_web_agree_there():
    needs("ort-web")
    target = OnnxEngineTarget(TargetName.ORT_WEB, 1)
    plain = (FFT((40,)), ToomCook((24,)), CooleyTukey((48,), inner=4))
    forms = [Direct(), plain[-1], *(each.with_products("taps first", SPEC) for each in plain)]
    _, errors = target.measure(forms, SPEC, seconds=0.02)
    assert errors[0] == 0 and all(0 < error < 1e-5 for error in errors[1:])


@pytest.mark.parametrize(("name", "expected"), [("ort-web", ["Max"]), ("ort-cpu", ["Relu"])])
def test_relu_between_compiled_layers_is_what_the_engine_is_quick_at(name, expected, onnx_model, tmp_path):
    needs(name)
    model = onnx_model(
        """net (float[batch, 4, 300] x) => (float[batch, 4, 300] y) {
            a = Conv<pads = [7, 7]>(x, v)
            r = Relu(a)
            y = Conv<pads = [7, 7]>(r, w)
        }""",
        v=(4, 4, 15),
        w=(4, 4, 15),
        opset=19,
    )
    onnx.save(model, tmp_path / "net.onnx")
    settings = ExportSettings(target=name, lowering="fft", tune="estimate")
    bundle = export(tmp_path / "net.onnx", tmp_path / "bundle", settings)
    operators = [node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node]
    assert [each for each in operators if each in ("Max", "Relu")] == expected


@pytest.mark.parametrize("name", OTHERS)
def test_a_bundle_is_planned_and_checked_in_its_engine_and_says_so(name, small_source, tmp_path):
    needs(name)
    settings = ExportSettings(target=name, lowering="fft", tune="estimate")
    bundle = export_source(small_source, tmp_path / "bundle", settings)
    engine = ONNX_ENGINES[name]
    words = f"{engine.title} {engine.version()}"
    parity = bundle.read_json("parity.json")
    assert [each["engine"].startswith(words.split(" ", maxsplit=1)[0]) for each in parity["engines"]] == [
        True
    ]
    assert parity["engines"][0]["error"] < 1e-5
    assert words in bundle.read_json("plan.json")["device"]
    found = inspect_bundle(bundle)
    rows = {each["file"]: each for each in found.data["artefacts"]}
    assert rows["model.onnx"]["runs_in"] == parity["engines"][0]["engine"]
    others = [other.title for other in ONNX_ENGINES.values() if other is not engine]
    assert not [other for other in others if f"{other} " in rows["model.onnx"]["runs_in"].replace("-web", "")]
    x = next(iter(small_source.samples.values()))
    expected = OnnxRuntime(bundle.path / "model.onnx").run({"input": x})["logits"]
    got = load_engine(bundle, threads=1).run({"input": x})["logits"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    checks = dict(verify(bundle.path).checks)
    if engine.own_format is None:
        assert set(rows) == {"model.onnx"}
        return
    sidecar = bundle.read_json(f"{engine.own_format.file}.json")
    assert (sidecar["engine"], sidecar["version"], sidecar["batch"]) == (name, engine.version(), 1)
    assert sidecar["sha256"] == bundle.manifest.files[engine.own_format.file]
    assert sidecar["model_sha256"] == bundle.manifest.files["model.onnx"]
    assert engine.title in rows[engine.own_format.file]["runs_in"]
    assert checks[engine.own_format.file].startswith("differs by ")


def test_without_the_engine_of_a_bundle_the_one_that_runs_every_bundle_is_named(
    small_source, tmp_path, monkeypatch
):
    needs("mnn")
    settings = ExportSettings(target="mnn", lowering="direct", tune="estimate")
    bundle = export_source(small_source, tmp_path / "bundle", settings)

    def gone():
        raise MissingCapabilityError("MNN is not installed")

    monkeypatch.setattr("dashdeploy.runtimes.converted.mnn.engine_version", gone)
    with pytest.raises(MissingCapabilityError) as error:
        load_engine(bundle)
    words = "MNN is not installed; or run it on the CPU with: `engine=ort-cpu`"
    assert str(error.value) == f"{bundle.path} was made for mnn: {words}"
    with pytest.raises(MissingCapabilityError, match=r"^MNN is not installed$"):
        load_engine(bundle, "mnn")


def test_what_an_engine_computes_otherwise_is_not_exported_for_it(pooled, tmp_path):
    """OpenVINO counts padding in the last window of an average pool that rounds up."""
    needs("openvino")
    settings = partial(ExportSettings, tune="estimate", lowering="direct")
    with pytest.raises(
        GateError, match="the engine differs even with every convolution direct: choose another"
    ):
        export(pooled, tmp_path / "bundle", settings(target="openvino"))
    assert not (tmp_path / "bundle").exists()
    (named,) = export(pooled, tmp_path / "bundle", settings()).read_json("parity.json")["engines"]
    assert named["engine"].startswith("ONNX Runtime ")


def test_int8_is_checked_in_the_engine_that_the_bundle_names(small_source, tmp_path):
    needs("openvino")
    settings = ExportSettings(target="openvino", precision="int8", lowering="direct", tune="estimate")
    parity = export_source(small_source, tmp_path / "bundle", settings).read_json("parity.json")
    assert [each["engine"].split(" ")[0] for each in parity["engines"]] == ["ONNX", "OpenVINO"]


def test_bfloat16_is_told_to_the_engine_and_kept_in_the_bundle(small_source, tmp_path):
    needs("openvino")
    settings = ExportSettings(target="openvino", precision="bf16", lowering="direct")
    try:
        bundle = export_source(small_source, tmp_path / "bundle", settings)
    except MissingCapabilityError as error:
        pytest.skip(str(error))
    assert bundle.manifest.precision == "bf16"
    assert bundle.read_json("plan.json")["engine_precision"] == "bf16"
    parity = bundle.read_json("parity.json")
    assert parity["tolerance"] == 4e-2 and "in bf16" in parity["engines"][0]["engine"]
    assert "in bf16" in load_engine(bundle).describe()
    weights = onnx.load(bundle.path / "model.onnx").graph.initializer
    assert {numpy_helper.to_array(each).dtype.name for each in weights} <= {"float32", "int64"}


@pytest.mark.parametrize(
    "wrong, message",
    [
        (
            {"target": "ort-cpu", "precision": "bf16"},
            "`target=ort-cpu` has no bfloat16; choose `target=openvino`",
        ),
        ({"target": "mnn", "precision": "fp16"}, "`target=mnn` takes float32"),
        ({"target": "ort-cpu", "engines": ["mnn"]}, "`engines` has no effect without `target=auto`"),
        ({"target": "ort-web", "device": "h100"}, "`target=ort-web` is this machine's CPU"),
    ],
)
def test_what_a_target_cannot_do_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        target_of(ExportSettings.model_validate(wrong))


class Slow(Target):
    """An engine that takes `seconds` longer in every call."""

    present = True

    def __init__(self, inner, seconds):
        self._inner, self._seconds = inner, seconds
        self.name = inner.name

    def describe(self):
        return self._inner.describe()

    def estimate(self, lowering, spec):
        return self._inner.estimate(lowering, spec)

    def load(self, model):
        from time import sleep

        runtime = self._inner.load(model)
        run = runtime.run

        def slowly(feeds):
            sleep(self._seconds)
            return run(feeds)

        runtime.run = slowly
        return runtime


def test_auto_keeps_the_fastest_engine_and_says_what_the_others_took(small_source, tmp_path, monkeypatch):
    needs("openvino")

    def slow_onnx_runtime(settings):
        target = target_of(settings)
        return Slow(target, 0.02) if settings.target is TargetName.ORT_CPU else target

    monkeypatch.setattr("dashdeploy.export.pipeline.target_of", slow_onnx_runtime)
    settings = ExportSettings(target="auto", engines=("ort-cpu", "openvino"), tune="estimate")
    bundle = export_source(small_source, tmp_path / "bundle", settings)
    assert bundle.manifest.target == "openvino" == bundle.read_json("plan.json")["target"]
    costs = {each["target"]: each for each in bundle.read_json("plan.json")["engines"]}
    assert costs["openvino"]["reason"].startswith("the fastest here")
    assert costs["ort-cpu"]["ms"] > 20 > costs["openvino"]["ms"]
    assert "times as long as openvino" in costs["ort-cpu"]["reason"]
    assert "chosen among engines" in inspect_bundle(bundle).text


def test_auto_leaves_out_an_engine_that_computes_otherwise(pooled, tmp_path):
    needs("openvino")
    settings = ExportSettings(
        target="auto", engines=("openvino", "ort-cpu"), tune="estimate", lowering="direct"
    )
    bundle = export(pooled, tmp_path / "bundle", settings)
    assert bundle.manifest.target == "ort-cpu"
    (out,) = [each for each in bundle.read_json("plan.json")["engines"] if each["ms"] is None]
    assert out["target"] == "openvino" and "does not agree" in out["reason"]
    with pytest.raises(
        GateError, match=r"no engine runs the model .*openvino: the compiled model does not agree"
    ):
        export(pooled, tmp_path / "other", settings.model_copy(update={"engines": ("openvino",)}))


def test_auto_refuses_what_is_no_engine_here(pooled, tmp_path):
    settings = ExportSettings(target="auto", engines=("tensorrt",), tune="estimate")
    with pytest.raises(
        InputError, match="`engines=tensorrt`: no engine of this machine's CPU; choose from ort-cpu"
    ):
        export(pooled, tmp_path / "bundle", settings)


def test_a_dry_run_of_auto_gives_the_plan_of_the_fastest(pooled):
    settings = ExportSettings(target="auto", engines=("ort-cpu",), tune="estimate", lowering="direct")
    plan = plan_export(pooled, settings)
    assert (plan.target, [each.target for each in plan.engines]) == ("ort-cpu", ["ort-cpu"])


def test_plans_without_the_newest_fields_are_written_as_before(pooled, tmp_path):
    bundle = export(pooled, tmp_path / "bundle", ExportSettings(tune="estimate"))
    assert not {"engines", "engine_precision"} & set(json.loads((bundle.path / "plan.json").read_bytes()))
    assert Bundle.load(bundle.path).manifest.target == "ort-cpu"
