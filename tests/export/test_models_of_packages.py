"""Small models of every kind that public packages ship: each is exported, verified, and right in two engines.

Convolutions that are 1-D in 2-D clothes, kernels over a whole axis, recurrent states whose batch is the second axis,
old opsets, circular padding, dynamic lengths, outputs that nobody reads, tiny probabilities, and dimensions of -1.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from dashdeploy.errors import InputError
from dashdeploy.export.pipeline import export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.verify.verification import verify
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.runtimes.openvino import OpenVino

ESTIMATED = ExportSettings(tune="estimate")


def weight(*shape):
    generator = np.random.default_rng(sum(shape))
    return generator.standard_normal(shape, "f4") / np.float32(np.sqrt(np.prod(shape[1:])))


def model_of(nodes, inputs, outputs, opset=17, **constants):
    """A model of float inputs; outputs by name and shape, an axis as a number or a name."""

    def infos(shapes):
        return [
            make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in shapes.items()
        ]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = make_graph(nodes, "g", infos(inputs), infos(outputs), initializers)
    return make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=8)


def conv(x="x", w="w", y="y", **attributes):
    return make_node("Conv", [x, w], [y], name=f"conv_{y}", **attributes)


def one_dimension(kind):
    """The same convolution of 64 taps on a length of 128, on one axis, or beside an axis of length 1."""
    axes, tail = {"c1d": (1, ()), "c2d_k1": (2, (1,)), "c2d_1k": (2, (1,))}[kind]
    w = weight(64, 64, 31)
    shape, pads = (128, *tail), [15, 15]
    if kind == "c2d_k1":
        w, pads = w[..., None], [15, 0, 15, 0]
    elif kind == "c2d_1k":
        w, shape, pads = w[:, :, None], (1, 128), [0, 15, 0, 15]
    assert w.ndim == 2 + axes
    return model_of([conv(pads=pads)], {"x": ("b", 64, *shape)}, {"y": ("b", 64, *shape)}, w=w)


def whole_axis(folded):
    w = weight(32, 4, 24, 3)
    if not folded:
        return model_of([conv(pads=[0, 1, 0, 1])], {"x": ("b", 4, 24, 80)}, {"y": ("b", 32, 1, 80)}, w=w)
    nodes = [make_node("Reshape", ["x", "s"], ["x1"]), conv("x1", pads=[1, 1])]
    constants = {"w": w.reshape(32, 96, 3), "s": np.array([0, 96, 80])}
    return model_of(nodes, {"x": ("b", 4, 24, 80)}, {"y": ("b", 32, 80)}, **constants)


def state(batch, length, state_batch):
    nodes = [
        conv(y="c", pads=[2, 2]),
        make_node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
        make_node("GRU", ["t", "gw", "gr", "", "", "h0"], ["gy", "hn"], hidden_size=4),
        make_node("Squeeze", ["hn", "zero"], ["y"]),
    ]
    constants = {
        "w": weight(16, 8, 5),
        "gw": weight(1, 12, 16),
        "gr": weight(1, 12, 4),
        "zero": np.array([0]),
    }
    return model_of(
        nodes,
        {"x": (batch, 8, length), "h0": (1, state_batch, 4)},
        {"y": ("p", "q"), "hn": ("r", "s", "t")},
        **constants,
    )


def recurrent(outputs, typed=False):
    nodes = [
        conv(y="c", pads=[2, 2]),
        make_node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
        make_node("LSTM", ["t", "gw", "gr"], outputs, hidden_size=4, name="lstm"),
    ]
    constants = {"w": weight(16, 8, 5), "gw": weight(1, 16, 16), "gr": weight(1, 16, 4)}
    model = model_of(nodes, {"x": (1, 8, 64)}, {"hn": (1, 1, 4)}, **constants)
    if typed:
        model.graph.value_info.append(make_tensor_value_info("gy", TensorProto.FLOAT, [64, 1, 1, 4]))
    return model


def ring():
    """Circular padding by two Slices and a Concat, then a dilated convolution."""
    nodes = [
        make_node("Slice", ["x", "last", "end", "axis"], ["left"]),
        make_node("Slice", ["x", "zero", "first", "axis"], ["right"]),
        make_node("Concat", ["left", "x", "right"], ["c"], axis=2),
        conv("c", dilations=[16]),
    ]
    bounds = {"last": [-16], "end": [2**63 - 1], "axis": [2], "zero": [0], "first": [16]}
    constants = {name: np.array(value) for name, value in bounds.items()}
    return model_of(nodes, {"x": ("b", 32, 500)}, {"y": ("b", 32, 500)}, w=weight(32, 32, 3), **constants)


def dynamic_length(channels_last):
    if channels_last:
        nodes = [make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), conv("t")]
        return model_of(nodes, {"x": ("batch", "length", 8)}, {"y": ("batch", 8, "m")}, w=weight(8, 8, 41))
    return model_of([conv()], {"x": ("batch", 8, "length")}, {"y": ("batch", 8, "m")}, w=weight(8, 8, 41))


def tiny_probabilities():
    """A sigmoid of about 7e-4 behind a normalization: the original differs from itself by more than 1e-5."""
    generator = np.random.default_rng(0)
    nodes = [
        conv(y="c", pads=[7, 7]),
        make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        make_node("Conv", ["n", "w2", "b2"], ["z"], name="head"),
        make_node("Sigmoid", ["z"], ["y"]),
    ]
    constants = {
        "w": weight(32, 32, 15),
        "s": generator.uniform(0.5, 2, 32).astype("f4"),
        "b": generator.standard_normal(32, "f4"),
        "m": generator.standard_normal(32, "f4") / 10,
        "v": generator.uniform(0.5, 2, 32).astype("f4"),
        "w2": weight(1, 32, 1) / 20,
        "b2": np.float32([-7.5]),
    }
    return model_of(nodes, {"x": ("b", 32, 500)}, {"y": ("b", 1, 500)}, **constants)


def negative_dimension():
    model = old_opset(17)
    axis = model.graph.input[0].type.tensor_type.shape.dim[0]
    axis.ClearField("dim_param")
    axis.dim_value = -1
    return model


def old_opset(opset):
    nodes = [conv(pads=[9, 9], dilations=[3], kernel_shape=[7])]
    return model_of(nodes, {"x": ("b", 64, 300)}, {"y": ("b", 64, 300)}, opset, w=weight(64, 64, 7))


def spectrogram():
    """One 3 x 3 convolution of a large image."""
    w = weight(16, 32, 3, 3)
    return model_of([conv(pads=[1, 1, 1, 1])], {"x": ("b", 32, 90, 61)}, {"y": ("b", 16, 90, 61)}, w=w)


KINDS = {
    "c1d": lambda: one_dimension("c1d"),
    "c2d_k1": lambda: one_dimension("c2d_k1"),
    "c2d_1k": lambda: one_dimension("c2d_1k"),
    "fullh_1d": lambda: whole_axis(folded=True),
    "fullh_2d": lambda: whole_axis(folded=False),
    "state_axis1_dynboth": lambda: state("b", "n", "b"),
    "state_axis1_st1": lambda: state("b", 64, 1),
    "state_axis1_static": lambda: state(1, 64, 1),
    "opset9": lambda: old_opset(9),
    "opset11": lambda: old_opset(11),
    "opset12": lambda: old_opset(12),
    "ring": ring,
    "dynlen": lambda: dynamic_length(channels_last=False),
    "dynlen_last": lambda: dynamic_length(channels_last=True),
    "lstm_first_output_omitted": lambda: recurrent(["", "hn"]),
    "lstm_unused_output": lambda: recurrent(["gy", "hn", "cn"]),
    "lstm_unused_output_vi": lambda: recurrent(["gy", "hn", "cn"], typed=True),
    "tiny_probabilities": tiny_probabilities,
    "neg_dim": negative_dimension,
    "mem_spectrogram": spectrogram,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_a_package_is_exported_verified_and_right(tmp_path, kind):
    onnx.save(KINDS[kind](), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED)
    assert verify(bundle.path).data["good"]
    onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
    original = OnnxRuntime(tmp_path / "m.onnx")
    feeds = ExampleInputs.of(original.run, original.inputs).feeds(1, np.random.default_rng(1))
    expected = original.run(feeds)
    for engine in (OnnxRuntime, OpenVino):
        got = engine(bundle.path / "model.onnx").run(feeds)
        for name, value in expected.items():
            # OpenVINO sums in another order, and ONNX Runtime's Sigmoid is exact to a unit in the last place of 1.
            assert np.abs(got[name] - value).max() <= 1e-5 * np.abs(value).max() + 2**-23


@pytest.mark.parametrize(
    ("clothed", "plain"), [("c2d_k1", "c1d"), ("c2d_1k", "c1d"), ("fullh_2d", "fullh_1d")]
)
def test_a_convolution_in_other_clothes_has_the_same_plan(tmp_path, clothed, plain):
    chosen = []
    for kind in (clothed, plain):
        onnx.save(KINDS[kind](), tmp_path / f"{kind}.onnx")
        plan = export(tmp_path / f"{kind}.onnx", tmp_path / kind, ESTIMATED).read_json("plan.json")
        (layer,) = plan["layers"]
        costs = {each["lowering"]: each["multiply_adds"] for each in layer["candidates"]}
        chosen.append((layer["chosen"], costs[layer["chosen"]]))
    assert chosen[0] == chosen[1]
    assert chosen[0][0] not in ("direct", "trimmed") or plain == "fullh_1d"


@pytest.mark.parametrize("outputs", [["", "hn"], ["gy", "hn", "cn"]])
def test_half_precision_takes_a_recurrence_with_outputs_that_nobody_reads(tmp_path, outputs):
    onnx.save(recurrent(outputs, typed="gy" in outputs), tmp_path / "m.onnx")
    settings = ESTIMATED.model_copy(update={"precision": "fp16"})
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", settings)
    assert verify(bundle.path).data["good"]
    original = OnnxRuntime(tmp_path / "m.onnx")
    feeds = {spec.name: spec.random(1, np.random.default_rng(1)) for spec in original.inputs}
    got = OnnxRuntime(bundle.path / "model.onnx").run(feeds)["hn"]
    assert np.abs(got - original.run(feeds)["hn"]).max() <= 5e-3


def test_a_model_that_is_in_half_precision_already(tmp_path):
    w = weight(8, 8, 31).astype(np.float16)
    model = model_of([conv(pads=[15, 15])], {"x": ("n", 8, 64)}, {"y": ("n", 8, 64)}, w=w)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", ESTIMATED)
    assert bundle.manifest.precision == "fp16"
    assert verify(bundle.path).data["good"]
    for precision in ("fp16", "int8"):
        with pytest.raises(InputError, match="computes in fp16 already"):
            export(
                tmp_path / "m.onnx", tmp_path / "no", ESTIMATED.model_copy(update={"precision": precision})
            )
    assert not (tmp_path / "no").exists()
