"""Convolutions beside and within bodies of control flow that read the main graph's values and weights."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from dashdeploy.errors import GateError, InputError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.export.pipeline import export, plan_export
from dashdeploy.export.planning.fusion_groups import fusion_groups
from dashdeploy.export.settings import ExportSettings
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

FORCED = ExportSettings(lowering="fft", tune="estimate")

BRANCHES = """g (float[b,4,60] x, bool c) => (float[b,4,60] y, float[b,4,60] z) {
    p = Constant<value = int64[6] {0,0,4,0,0,4}>()
    q = Pad(x, p)  h = Conv(q, w)
    n = BatchNormalization(h, s, t, t, s)  r = Relu(n)
    y = Conv<pads = [8,8], dilations = [2]>(r, w)
    z = If(c) <
        then_branch = one () => (float[b,4,60] a) { k = Conv<pads = [4,4]>(r, w)  l = Conv(q, w)  a = Add(k, l) },
        else_branch = two () => (float[b,4,60] e) { e = Add(n, h) }
    > }"""
LOOP = """g (float[b,4,60] x) => (float[b,4,60] y) {
    h = Conv<pads = [4,4]>(x, w)  r = Relu(h)
    m = Constant<value = int64 {3}>()  c = Constant<value = bool {1}>()
    u = Loop(m, c, r) <body = step (int64 i, bool o, float[b,4,60] v) => (bool k, float[b,4,60] a) {
        k = Identity(o)  d = Conv<pads = [4,4]>(v, w)  e = Add(d, h)  a = Tanh(e) }>
    y = Conv<pads = [4,4]>(u, w) }"""
WEIGHTS = {"w": (4, 4, 9), "s": np.linspace(0.5, 2, 4).astype("f4"), "t": np.linspace(0.1, 1, 4).astype("f4")}


@pytest.mark.parametrize(
    ("text", "flags", "lowered"), [(BRANCHES, (True, False), (1, 1, 1, 1)), (LOOP, (None,), (1, 0, 1))]
)
def test_bodies_see_the_values_and_weights_that_they_saw(tmp_path, onnx_model, text, flags, lowered):
    """A loop's output has no known shape: what reads it stays direct."""
    weights = WEIGHTS if text == BRANCHES else {"w": WEIGHTS["w"]}
    onnx.save(onnx_model(text, **weights), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    layers = bundle.read_json("plan.json")["layers"]
    assert tuple(int(layer["chosen"].startswith("fft")) for layer in layers) == lowered
    onnx.checker.check_model(bundle.path / "model.onnx", full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 4, 60)).astype("f4")
    for flag in flags:
        feeds = {"x": x} if flag is None else {"x": x, "c": np.array(flag)}
        first, second = (
            OnnxRuntime(path, threads=1).run(feeds)
            for path in (tmp_path / "m.onnx", bundle.path / "model.onnx")
        )
        for name, expected in first.items():
            assert np.abs(second[name] - expected).max() <= 5e-6 * np.abs(expected).max()


def conv(x, weight, y, taps):
    return onnx.helper.make_node("Conv", [x, weight], [y], pads=[taps // 2, taps // 2])


def info(name, kind=onnx.TensorProto.FLOAT, shape=None):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def two_rates(taps=15, length=96, then_needs=None):
    """An If between two rates: the inputs of a random test are neither, and enter the else branch alone.

    Args:
        taps: of the convolutions, one with a weight of its body and one with an outer weight.
        length: of the input.
        then_needs: a length that the then branch reshapes to, which no input has.
    """
    generator = np.random.default_rng(0)

    def weight(name):
        return onnx.numpy_helper.from_array(generator.standard_normal((16, 16, taps), "f4") / 16, name)

    end = [onnx.helper.make_node("Relu", ["p"], ["a"])]
    if then_needs is not None:
        end = [onnx.helper.make_node("Reshape", ["p", "wrong"], ["a"])]
    bodies = {
        "then_branch": onnx.helper.make_graph(
            [conv("x", "own", "p", taps), *end], "then", [], [info("a")], [weight("own")]
        ),
        "else_branch": onnx.helper.make_graph(
            [conv("x", "outer", "q", taps), onnx.helper.make_node("Tanh", ["q"], ["e"])],
            "else",
            [],
            [info("e")],
        ),
    }
    nodes = [
        onnx.helper.make_node("Equal", ["rate", "fast"], ["is_fast"]),
        onnx.helper.make_node("If", ["is_fast"], ["y"], **bodies),
    ]
    constants = [weight("outer"), onnx.numpy_helper.from_array(np.array(16000), "fast")]
    if then_needs is not None:
        constants.append(onnx.numpy_helper.from_array(np.array([1, 16, then_needs]), "wrong"))
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [info("x", shape=["b", 16, length]), info("rate", onnx.TensorProto.INT64, [])],
        [info("y", shape=["b", 16, "m"])],
        constants,
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_both_branches_are_compiled_and_checked(tmp_path):
    onnx.save(two_rates(), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    plan = {layer["name"]: layer["chosen"] for layer in bundle.read_json("plan.json")["layers"]}
    assert set(plan) == {"own", "outer"}
    assert all(chosen.startswith("fft") for chosen in plan.values())
    labels = [entry["inputs"] for entry in bundle.read_json("parity.json")["outputs"]]
    assert labels == [
        f"random, batch {batch}{branch}"
        for branch in ("", ", y by its else branch", ", y by its then branch")
        for batch in (1, 3)
    ]
    x = np.random.default_rng(0).standard_normal((2, 16, 96), "f4")
    original, compiled = (OnnxRuntime(path) for path in (tmp_path / "m.onnx", bundle.path / "model.onnx"))
    for rate in (8000, 16000):
        feeds = {"x": x, "rate": np.array(rate)}
        expected = original.run(feeds)["y"]
        assert np.abs(compiled.run(feeds)["y"] - expected).max() <= 5e-6 * np.abs(expected).max()


def test_a_wrong_branch_is_found_although_no_input_enters_it(tmp_path, monkeypatch):
    write = FFT.write

    def wrong(self, writer, spec, x, weight, bias):
        scale = np.float32(1.5) if writer._layer == "own" else np.float32(1)
        return write(self, writer, spec, x, scale * weight, bias)

    monkeypatch.setattr(FFT, "write", wrong)
    onnx.save(two_rates(), tmp_path / "m.onnx")
    with pytest.raises(GateError, match="y by its then branch"):
        export(tmp_path / "m.onnx", tmp_path / "out", FORCED)


def test_what_no_known_input_runs_stays_direct(tmp_path):
    onnx.save(two_rates(then_needs=97), tmp_path / "m.onnx")
    plan = plan_export(tmp_path / "m.onnx", FORCED)
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    assert plan.model_dump(mode="json") == bundle.read_json("plan.json")
    layers = {layer.name: layer for layer in plan.layers}
    assert layers["outer"].chosen.startswith("fft")
    assert layers["own"].chosen == "direct"
    assert "no known inputs run the branch of the If" in layers["own"].reason


def test_a_loop_whose_body_has_the_shapes_of_another_run_stays_as_it_is(tmp_path, onnx_model):
    text = LOOP.replace("float[b,4,60] v", "float[b,4,50] v").replace("Add(d, h)", "Abs(d)")
    onnx.save(onnx_model(text, w=WEIGHTS["w"]), tmp_path / "m.onnx")
    said = []
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED, progress=said.append)
    layers = bundle.read_json("plan.json")["layers"]
    assert [layer["chosen"].startswith("fft") for layer in layers] == [True, False, False]
    assert "own shapes are not what runs there" in layers[-1]["reason"]
    assert any("convolutions in bodies stay direct" in line for line in said)


def test_the_branches_of_an_if_are_not_fused():
    model = two_rates()
    found = find_convolutions(prepare(ir.from_proto(model)))
    assert len(found) == 2 and found[0].node.inputs[0] is found[1].node.inputs[0]
    assert fusion_groups(found) == []


def test_normalization_and_layout_reach_into_bodies(tmp_path, onnx_model):
    text = """g (float[b,16,96] x, bool c) => (float[b,16,96] y) {
        y = If(c) <
            then_branch = one () => (float[b,16,96] a) {
                k = Conv<pads = [7,7]>(x, w)  n = BatchNormalization(k, s, t, t, s)  r = Relu(n)
                m = Conv<pads = [7,7]>(r, v)  a = Add(m, x) },
            else_branch = two () => (float[b,16,96] e) { e = Relu(x) }
        > }"""
    four = {"s": np.linspace(0.5, 2, 16).astype("f4"), "t": np.linspace(0.1, 1, 16).astype("f4")}
    onnx.save(onnx_model(text, w=(16, 16, 15), v=(16, 16, 15), **four), tmp_path / "m.onnx")
    bundle = export(tmp_path / "m.onnx", tmp_path / "out", FORCED)
    assert [layer["chosen"].startswith("fft") for layer in bundle.read_json("plan.json")["layers"]] == [
        True,
        True,
    ]
    model = ir.load(bundle.path / "model.onnx")
    kinds = [node.op_type for graph in model.graph.subgraphs() for node in graph]
    assert "BatchNormalization" not in kinds and "Conv" not in kinds
    # Relu works in rows: into rows before the first, back behind the second, and none between.
    assert kinds.count("Transpose") == 2


def test_shapes_that_a_branch_does_not_take_are_named_as_the_cause(tmp_path):
    """ONNX Runtime refuses a model one of whose branches cannot run with its shapes, whether it is entered or not."""
    onnx.save(two_rates(length="n"), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    branch = model.graph.node[1].attribute[0].g
    branch.node.append(onnx.helper.make_node("Squeeze", [branch.output[0].name, "axis"], ["gone"]))
    branch.node.append(onnx.helper.make_node("Unsqueeze", ["gone", "axis"], ["again"]))
    branch.output[0].name = "again"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2]), "axis"))
    onnx.save(model, tmp_path / "m.onnx")
    fixed = FORCED.model_copy(update={"input_shapes": {"x": (1, 16, 96)}})
    with pytest.raises(InputError, match=r"`input_shapes`: .* does not take these shapes") as error:
        plan_export(tmp_path / "m.onnx", fixed)
    assert "\n" not in str(error.value)
