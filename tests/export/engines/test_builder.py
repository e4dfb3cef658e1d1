"""Engines of TensorRT-RTX, really built ahead of time; none is run, since that takes a GPU."""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from dashdeploy.errors import GateError, InputError, MissingCapabilityError
from dashdeploy.export.engines import write_engines
from dashdeploy.export.engines.builder import build_engine
from dashdeploy.export.engines.settings import EngineSettings
from dashdeploy.export.engines.sidecar import EngineSidecar
from dashdeploy.export.engines.write_engines import write_engine
from dashdeploy.export.lowerings.graph_writer import layer_of
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.passes.precision.convert_to_fp16 import COMPILED_IN_FP16
from dashdeploy.export.passes.sequence import lower, prepare, to_fp16, to_int8
from dashdeploy.runtimes.tensorrt_flavors import RTX, TENSORRT

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")

ONE = EngineSettings(compute_capabilities=("8.9",))

NETWORKS = {
    "1d": (
        "g (float[b,4,64] x) => (float[b,6,64] y) "
        '{ h = Conv<pads = [15,15], dilations = [3]>(x, "stem.weight", c) y = Relu(h) }',
        {"stem.weight": (6, 4, 11), "c": (6, 1)},
    ),
    "2d": (
        "g (float[b,3,16,16] x) => (float[b,4,16,16] y) "
        '{ y = Conv<pads = [4,4,4,4], dilations = [2,2]>(x, "stem.weight") }',
        {"stem.weight": (4, 3, 5, 5)},
    ),
}


def network(onnx_model, rank):
    text, weights = NETWORKS[rank]
    model = onnx_model(text, **weights)
    for initializer in model.graph.initializer:
        if initializer.name == "c":
            del initializer.dims[1:]
    return model


def saved(model, path):
    onnx.save(ir.to_proto(model) if isinstance(model, ir.Model) else model, path)
    return path


@pytest.mark.parametrize("rank", NETWORKS)
@pytest.mark.parametrize("lowering", ["direct", "fft"])
def test_both_lowerings_build_and_build_the_same_again(tmp_path, onnx_model, fft, rank, lowering):
    model = network(onnx_model, rank)
    if lowering == "fft":
        model = fft(model, expected=1)
    path = saved(model, tmp_path / "m.onnx")
    first = build_engine(path, RTX, EngineSettings())
    assert len(first.content) > 10_000
    assert first.dynamic
    again = build_engine(path, RTX, EngineSettings())
    if first.fixed_addresses:  # not where a container forbids to fix addresses
        assert again.content == first.content
    # Every further GPU adds to the engine, so the four capabilities really went in.
    assert len(build_engine(path, RTX, ONE).content) < len(first.content)


@pytest.mark.parametrize("rank", NETWORKS)
@pytest.mark.parametrize("lowering", ["direct", "fft"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_precision_builds(tmp_path, onnx_model, fft, rank, lowering, precision):
    source = network(onnx_model, rank)
    model = fft(source, expected=1) if lowering == "fft" else prepare(ir.from_proto(source))
    layers = ["stem"] if lowering == "fft" else []
    if precision == "fp16":
        model = to_fp16(model, layers, "everything")
    else:
        (given,) = model.graph.inputs
        shape = (40, *list(given.shape)[1:])
        model = to_int8(model, layers, {"x": np.random.default_rng(0).standard_normal(shape).astype("f4")})
    path = saved(model, tmp_path / "m.onnx")
    settings = EngineSettings(batches=(1, 2, 64))
    first = build_engine(path, RTX, settings)
    if first.fixed_addresses:
        assert build_engine(path, RTX, settings).content == first.content
    if lowering == "direct":  # the operators of the precision really went in
        names = {"fp16": b"half", "int8": b"int8"}
        assert names[precision] in first.content


@pytest.mark.parametrize(("rank", "tile"), [("1d", (16,)), ("2d", (8, 8))])
@pytest.mark.parametrize("part", COMPILED_IN_FP16)
def test_toom_cook_convolutions_build_in_half_precision_too(tmp_path, onnx_model, rank, tile, part):
    model = lower(prepare(ir.from_proto(network(onnx_model, rank))), {"stem": ToomCook(tile)})
    path = saved(to_fp16(model, ["stem"], part), tmp_path / "m.onnx")
    first = build_engine(path, RTX, ONE)
    if first.fixed_addresses:
        assert build_engine(path, RTX, ONE).content == first.content


def test_the_sidecar_says_what_the_engine_is(tmp_path, onnx_model, fft):
    saved(fft(network(onnx_model, "1d"), expected=1), tmp_path / "model.onnx")
    said = []
    layers = {"stem": "fft(tile=16)"}
    settings = EngineSettings(compute_capabilities=("8.0", "12.0"), batches=(1, 4, 16))
    write_engine(tmp_path, RTX, settings, precision="fp32", layers=layers, progress=said.append)
    sidecar = EngineSidecar.model_validate(json.loads((tmp_path / "model.rtx.json").read_text()))
    assert sidecar.sha256 == sha256((tmp_path / "model.rtx").read_bytes()).hexdigest()
    assert sidecar.model_sha256 == sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert (sidecar.engine, sidecar.version) == ("tensorrt-rtx", trt.__version__)
    assert sidecar.compute_capabilities == ["8.0", "12.0"]
    assert (sidecar.batches, sidecar.layers, sidecar.tf32) == ((1, 4, 16), layers, False)
    assert said[0] == "building the TensorRT-RTX engine"
    if build_engine(tmp_path / "model.onnx", RTX, settings).fixed_addresses:
        assert sidecar.reproducible


def test_an_engine_that_comes_out_another_time_differently_is_not_called_reproducible(
    tmp_path, onnx_model, monkeypatch
):
    saved(onnx_model("g (float[2,4] x) => (float[2,4] y) { y = Relu(x) }"), tmp_path / "model.onnx")
    builds = []

    def with_their_number(*asked):
        built = build_engine(*asked)
        builds.append(built)
        return replace(built, content=built.content + bytes([len(builds)]))

    monkeypatch.setattr(write_engines, "build_engine", with_their_number)
    write_engine(tmp_path, RTX, ONE, precision="fp32", layers={}, progress=lambda _line: None)
    assert len(builds) == (2 if builds[0].fixed_addresses else 1)
    assert not json.loads((tmp_path / "model.rtx.json").read_text())["reproducible"]
    assert (tmp_path / "model.rtx").read_bytes() == builds[0].content + b"\1"


def test_a_fixed_batch_needs_no_profile(tmp_path, onnx_model):
    text = "g (float[2,4] x) => (float[2,4] y) { y = Relu(x) }"
    saved(onnx_model(text), tmp_path / "model.onnx")
    write_engine(tmp_path, RTX, ONE, precision="fp32", layers={}, progress=lambda _line: None)
    assert json.loads((tmp_path / "model.rtx.json").read_text())["batches"] is None


@pytest.mark.parametrize("operator", ["Det(h)", "DFT<axis = 1>(h)"])
def test_an_operator_that_is_not_parsed_is_named(tmp_path, onnx_model, capfd, operator):
    model = onnx_model(f"g (float[b,4,4] x) => (float[b,4,4] y) {{ h = Relu(x) y = {operator} }}")
    model.graph.node[1].name = "odd_one"
    path = saved(model, tmp_path / "m.onnx")
    with pytest.raises(InputError) as error:
        build_engine(path, RTX, ONE)
    message = str(error.value)
    assert message.startswith(f"TensorRT-RTX does not parse operator {operator.partition('(')[0][:3]}")
    assert "odd_one" in message
    assert "leave `trt_rtx` out" in message
    assert "\n" not in message
    assert "catchCudaError" not in message + "".join(capfd.readouterr())


def test_an_operator_of_a_layer_that_we_wrote_is_no_fault_of_the_users(tmp_path, onnx_model):
    model = onnx_model("g (float[b,4,4] x) => (float[b,4,4] y) { y = Det(x) }")
    model.graph.node[0].name = "stem/transform"
    path = saved(model, tmp_path / "m.onnx")
    with pytest.raises(GateError, match=r"compiled layer stem \(.*`lowering=direct`") as error:
        build_engine(path, RTX, ONE, compiled_layers=["stem"])
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("node", "layer"), [("a.b/pad", "a.b"), ("a.b'/pad", "a.b"), ("a.b.c/pad", None), ("a.b", None)]
)
def test_nodes_are_matched_with_the_layers_that_wrote_them(node, layer):
    assert layer_of(node, ["a", "a.b"]) == layer


def test_dynamic_axes_besides_the_batch_are_refused(tmp_path, onnx_model):
    path = saved(onnx_model("g (float[b,4,n] x) => (float[b,4,n] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    with pytest.raises(InputError, match="`input_shapes=x=1,C,N`"):
        build_engine(path, RTX, ONE)


def test_a_gpu_that_rtx_does_not_know_is_refused_with_those_it_knows(tmp_path, onnx_model):
    path = saved(onnx_model("g (float[b,4] x) => (float[b,4] y) { y = Relu(x) }"), tmp_path / "m.onnx")
    settings = EngineSettings(compute_capabilities=("9.0",))
    with pytest.raises(InputError, match=r"builds no engine for 9.0; it knows 7.5, 8.0, .*12.0"):
        build_engine(path, RTX, settings)


@pytest.mark.parametrize(
    ("capabilities", "batches", "message"),
    [
        ("", "1,8,32", "`compute_capabilities`: '' is not"),
        ("89", "1,8,32", "`compute_capabilities`: '89' is not a compute capability; write it like 8.9"),
        ("8.9,8.9", "1,8,32", "8.9 appears twice"),
        ("8.9", "1,8", "`engine_batches=1,8`: write MIN,OPT,MAX"),
        ("8.9", "1,x,8", "write MIN,OPT,MAX"),
        ("8.9", "8,1,32", "ascending"),
        ("8.9", "0,1,2", "from 1 up"),
    ],
)
def test_settings_are_refused_in_a_line(capabilities, batches, message):
    with pytest.raises(InputError) as error:
        EngineSettings.parse(capabilities, batches)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_plain_tensorrt_asks_the_driver_first():
    from dashdeploy.runtimes.gpus import find_gpus

    if find_gpus()[0]:
        pytest.skip("this machine has a GPU")
    with pytest.raises(MissingCapabilityError, match="an NVIDIA GPU with its driver") as error:
        TENSORRT.load()
    assert error.value.exit_code == 3
    with pytest.raises(MissingCapabilityError, match="TensorRT-RTX needs an NVIDIA GPU"):
        RTX.load(to_run=True)


def test_engines_hold_the_tables_of_the_taps(tmp_path, onnx_model):
    """TensorRT-RTX keeps operators on constants, so it gets none."""
    text = 'g (float[b,64,64] x) => (float[b,64,64] y) { y = Conv<pads = [3,3]>(x, "stem.weight") }'
    source = prepare(ir.from_proto(onnx_model(text, **{"stem.weight": (64, 64, 7)})))
    path = saved(lower(source, {"stem": ToomCook((32,))}), tmp_path / "m.onnx")
    folded = saved(lower(source, {"stem": ToomCook((32,))}, fold_taps=True), tmp_path / "folded.onnx")
    tables = 43 * 64 * 64 * 4  # 10 real points, and three products for each of 11 pairs
    assert path.stat().st_size < tables / 3 < tables < folded.stat().st_size
    engines = [build_engine(each, RTX, ONE).content for each in (path, folded)]
    assert len(engines[0]) > tables
    assert len(engines[0]) == pytest.approx(len(engines[1]), rel=0.01)
