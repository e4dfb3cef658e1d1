"""Taps are stored, and what transforms them is folded by the engines when they load a model."""

import collections

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.graph_writer import GraphWriter
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.writers.tap_transform import TapTransform
from dashdeploy.export.targets.single_layer import IR_VERSION, OPSET, random_weights, single_layer_model
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime


def conv(cin, cout, spatial, kernel, strides=1, groups=1):
    rank = len(spatial)
    return ConvSpec(
        in_channels=cin,
        out_channels=cout,
        groups=groups,
        spatial=spatial,
        kernel=kernel,
        strides=(strides,) * rank,
        dilations=(1,) * rank,
        pads_begin=tuple(k // 2 for k in kernel),
        pads_end=tuple(k // 2 for k in kernel),
    )


LAYERS = {
    "1d-fft": (FFT((40,)), conv(24, 16, (300,), (15,))),
    "1d-toom-cook": (ToomCook((16,)), conv(24, 16, (300,), (7,))),
    "1d-strided-groups": (FFT((24,)), conv(8, 12, (301,), (9,), strides=3, groups=4)),
    "2d-fft": (FFT((12, 12)), conv(24, 32, (32, 32), (7, 7))),
    "2d-few-channels": (FFT((24, 16)), conv(3, 5, (48, 32), (9, 7), strides=2)),
    "2d-toom-cook": (ToomCook((8, 6)), conv(24, 32, (32, 32), (5, 3))),
    "1d-grouped-strided": (FFT((24,), product_form="grouped"), conv(8, 16, (301,), (9,), strides=3)),
    "2d-grouped": (FFT((40, 40), product_form="grouped"), conv(24, 32, (32, 32), (7, 7))),
    "1d-taps-first-strided-groups": (
        FFT((24,), product_form="taps first"),
        conv(8, 12, (301,), (9,), strides=3, groups=4),
    ),
    "1d-two-steps": (CooleyTukey((48,), inner=4), conv(24, 16, (300,), (15,))),
    "2d-taps-first": (FFT((12, 12), product_form="taps first"), conv(24, 32, (32, 32), (7, 7))),
    "2d-grouped-toom-cook": (ToomCook((8, 6), product_form="grouped"), conv(24, 32, (32, 32), (5, 3))),
}


def initializers(model):
    return sum(value.const_value.nbytes for value in model.graph.initializers.values())


def optimized(model, tmp_path):
    """The operators that ONNX Runtime runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    content = ir.to_proto(model).SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)


def products_that_run(model):
    """Products with something that the input decides."""
    known = {value.name for value in model.graph.initializers.values()}
    running = collections.Counter()
    for node in model.graph:
        if all(value.name in known for value in node.inputs if value is not None):
            known |= {value.name for value in node.outputs}
        else:
            running[node.op_type] += 1
    return running["MatMul"]


@pytest.mark.parametrize("layer", LAYERS)
def test_onnx_runtime_folds_the_transform(layer, tmp_path):
    lowering, spec = LAYERS[layer]
    model = single_layer_model(lowering, spec, *random_weights(spec))
    before = collections.Counter(node.op_type for node in model.graph)
    after = optimized(model, tmp_path)
    assert before["MatMul"] > products_that_run(model)
    assert after["MatMul"] + after["FusedMatMul"] == products_that_run(model)  # fused with a Transpose


@pytest.mark.parametrize("layer", LAYERS)
def test_openvino_folds_the_transform(layer):
    openvino = pytest.importorskip("openvino", reason="the openvino extra is not installed")
    lowering, spec = LAYERS[layer]
    model = single_layer_model(lowering, spec, *random_weights(spec))
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(ir.to_proto(model).SerializeToString()), "CPU")
    kinds = [node.get_rt_info()["layerType"] for node in compiled.get_runtime_model().get_ops()]
    assert sum(kind.astype(str) in ("MatMul", "FullyConnected") for kind in kinds) == products_that_run(model)


@pytest.mark.parametrize("layer", ["1d-fft", "1d-toom-cook", "2d-fft", "2d-toom-cook"])
def test_little_more_than_the_taps_is_stored(layer):
    lowering, spec = LAYERS[layer]
    wide = spec.model_copy(update={"in_channels": 128, "out_channels": 128})
    weight, bias = random_weights(wide)
    assert initializers(single_layer_model(lowering, wide, weight, bias)) < 1.15 * weight.nbytes


def test_taps_that_are_zero_for_several_channels_are_not_stored():
    """As in one layer for parallel convolutions of 39, 19 and 9 taps."""
    spec = conv(32, 96, (1000,), (39,))
    weight, bias = random_weights(spec)
    weight[32:64, :, :10] = weight[32:64, :, -10:] = 0
    weight[64:, :, :15] = weight[64:, :, -15:] = 0
    full = single_layer_model(FFT((80,)), spec, *random_weights(spec))
    model = single_layer_model(FFT((80,)), spec, weight, bias)
    assert initializers(full) - initializers(model) == pytest.approx(
        (3 * 39 - 39 - 19 - 9) * 32 * 32 * 4, abs=500
    )
    x = np.random.default_rng(1).standard_normal((2, 32, 1000)).astype("f4")
    got, expected = (
        OnnxRuntime(ir.to_proto(each).SerializeToString()).run({"x": x})["y"]
        for each in (model, single_layer_model(FFT((48,)), spec, weight, bias))
    )
    assert np.abs(got - expected).max() < 2e-6 * np.abs(expected).max()


@st.composite
def transforms(draw):
    """A convolution, and matrices of two tables: of one part for one axis, of one or two for two."""
    rank, stride, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = tuple(draw(st.lists(st.integers(1, 7), min_size=rank, max_size=rank)))
    spec = conv(
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        (40,) * rank,
        kernel,
        stride,
        groups,
    )
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = draw(st.integers(1, rank))

    def matrices(axis):
        return [generator.standard_normal((rows[axis], -(-kernel[axis] // stride))) for _ in range(parts)]

    rows = [draw(st.integers(1, 6)) for _ in range(rank)]
    last = {name: matrices(-1) for name in ("one", "two")}
    return spec, last, matrices(0) if rank == 2 else None


@given(transforms(), st.booleans(), st.sampled_from([None, "grouped", "taps first"]))
@settings(max_examples=120, deadline=None)
def test_tables_are_those_of_numpy(transform, by_axes, form):
    """By Kronecker products and axis by axis, with strides and groups; the reference sums over taps in float64."""
    spec, last, first = transform
    if form == "grouped" and spec.groups > 1:
        form = None
    generator = np.random.default_rng(0)
    weight = generator.standard_normal(
        (spec.out_channels, spec.in_channels // spec.groups, *spec.kernel)
    ).astype("f4")
    with pytest.MonkeyPatch.context() as patch:
        limit = 0 if by_axes else np.inf
        patch.setattr("dashdeploy.export.lowerings.writers.tap_transform._SMALL_MATRIX", limit)
        got = written(spec, weight, last, first, product_form=form)
    for name, parts in last.items():
        expected = table(spec, weight, parts, first)
        if form == "grouped":  # [R, depth, Cout] as the weights of a Conv
            depth = expected.shape[1]
            expected = expected.transpose(0, 2, 1).reshape(-1, depth, 1, 1)
        if form == "taps first":
            expected = expected.swapaxes(-1, -2)
        assert got[name].shape == expected.shape
        assert np.abs(got[name] - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def written(spec, weight, last, first, *, product_form):
    """What ONNX Runtime makes of the operators."""
    writer = GraphWriter("layer")
    transform = TapTransform(writer, spec, weight, product_form=product_form)
    tables = transform.tables(last, first)
    for name, value in tables.items():
        value.name, value.type = name, ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [],
        list(tables.values()),
        nodes=writer.nodes,
        initializers=writer.initializers,
        opset_imports={"": OPSET},
        name="taps",
    )
    return OnnxRuntime(ir.to_proto(ir.Model(graph, ir_version=IR_VERSION)).SerializeToString()).run({})


def table(spec, weight, parts, first):
    """[G, R.., splits Cin, Cout]: the sum over the taps j = s a + r of every split r."""
    stride, groups = spec.strides[0], spec.groups
    axes = [first, parts] if first is not None else [parts]
    rows = [len(matrices[0]) for matrices in axes]
    cout, cin = weight.shape[0] // groups, weight.shape[1]
    found = np.zeros((groups, *rows, *(stride,) * len(axes), cin, cout))
    by_group = weight.astype("f8").reshape(groups, cout, cin, *spec.kernel)
    for taps in np.ndindex(*spec.kernel):
        of_tap = by_group[(..., *taps)].transpose(0, 2, 1)
        splits = tuple(tap % stride for tap in taps)
        for part in range(len(parts)):
            columns = [matrices[part][:, tap // stride] for matrices, tap in zip(axes, taps, strict=True)]
            factor = columns[0] if len(columns) == 1 else np.multiply.outer(*columns)
            places = (slice(None),) * (1 + len(axes)) + splits
            found[places] += factor[..., None, None] * of_tap.reshape(groups, *(1,) * len(axes), cin, cout)
    lead = () if groups == 1 else (groups,)
    return found.reshape(*lead, np.prod(rows), stride ** len(axes) * cin, cout)
