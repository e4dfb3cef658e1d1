"""States in an export: found, named, refused, added later, and handed to Triton."""

import json
import re

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2 as pb
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.export.api import compile as compile_model

FLOAT = TensorProto.FLOAT
QUICK = ("--lowering", "direct", "--tune", "estimate")


def write_model(path, state_shape=("b", 4), operator="Add"):
    """A convolution over x [b, 2, 4], and a state that is added to it."""
    values = np.random.default_rng(0).standard_normal((1, 2, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
            helper.make_node("Squeeze", ["c", "axes"], ["flat"]),
            helper.make_node(operator, ["flat", "state_in"], ["y"]),
            helper.make_node("Identity", ["y"], ["state_out"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", FLOAT, ["b", 2, 4]),
            helper.make_tensor_value_info("state_in", FLOAT, state_shape),
        ],
        [
            helper.make_tensor_value_info("y", FLOAT, ["q", 4]),
            helper.make_tensor_value_info("state_out", FLOAT, ["r", "s"]),
        ],
        [numpy_helper.from_array(values, "w"), numpy_helper.from_array(np.array([1]), "axes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "m.onnx")


def export(*words):
    return command("export", *words)


def command(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def test_states_that_are_likely_are_told_and_recorded_only_on_demand(tmp_path, model):
    result = export(model, "--out", tmp_path / "plain", *QUICK)
    assert result.exit_code == 0, result.output
    assert "looks as if it kept a state: --state state_in=state_out" in result.stderr
    assert Bundle.load(tmp_path / "plain").manifest.states == {}
    result = export(model, "--out", tmp_path / "auto", "--state", "auto", *QUICK)
    assert result.exit_code == 0, result.output
    assert "states, which a server keeps for each sequence: state_out is the next state_in" in result.stdout
    assert Bundle.load(tmp_path / "auto").manifest.states == {"state_in": "state_out"}
    named = compile_model(
        model, out=tmp_path / "named", states={"state_in": "state_out"}, lowering="direct", tune="estimate"
    )
    assert named.manifest.states == {"state_in": "state_out"}


def test_a_bundle_gets_states_later_and_keeps_the_rest(tmp_path, model):
    export(model, "--out", tmp_path / "b", *QUICK)
    before = json.loads((tmp_path / "b" / "bundle.json").read_text())
    result = export(tmp_path / "b", "--state", "state_in=state_out")
    assert result.exit_code == 0, result.output
    after = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert after.pop("states") == {"state_in": "state_out"}
    assert after == before
    result = export(tmp_path / "b", "--out", tmp_path / "c", "--triton-repository", tmp_path / "r")
    assert result.exit_code == 0, result.output
    assert Bundle.load(tmp_path / "c").manifest.states == {"state_in": "state_out"}


@pytest.mark.parametrize(
    "words, message",
    [
        (("--state", "x=y"), r"error: --state x=y: the output 'y' \(float32 q x 4\) is not a next value"),
        (("--state", "h=state_out"), "--state h=state_out: the model has no input 'h'; it has x, state_in"),
        (
            ("--state", "state_in"),
            "--state state_in: not a pair; write --state INPUT=OUTPUT, or --state auto",
        ),
        (("--state", "a=b", "--state", "a=c"), "--state a=c: a appears twice"),
        (("--state", "a=b", "--state", "auto"), "--state auto finds every state; leave the other ones out"),
    ],
)
def test_what_is_no_pair_of_the_model_is_refused(tmp_path, model, words, message):
    result = export(model, "--out", tmp_path / "b", *QUICK, *words)
    assert result.exit_code == 1
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "b").exists()


def test_auto_says_what_there_is_where_nothing_fits(tmp_path, onnx_model):
    model = onnx_model("g (float[b,2,8] x) => (float[b,2,8] y) { y = Conv<pads = [1,1]>(x, w) }", w=(2, 2, 3))
    onnx.save(model, tmp_path / "m.onnx")
    result = export(tmp_path / "m.onnx", "--out", tmp_path / "b", "--state", "auto", *QUICK)
    assert result.exit_code == 1
    assert "--state auto: no input and output are a pair" in result.stderr
    assert "(inputs x; outputs y); write --state INPUT=OUTPUT" in result.stderr


def test_a_state_that_the_model_does_not_take_back_is_refused(tmp_path):
    """Its declared shapes fit, since the output's are open, but it gives two numbers where it takes four."""
    model = onnx.load(write_model(tmp_path / "m.onnx"))
    model.graph.node[3].CopyFrom(helper.make_node("Compress", ["y", "kept"], ["state_out"], axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([True, True, False, False]), "kept"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(
        InputError, match="`states=state_in=state_out`: the model does not run on the states that"
    ):
        compile_model(tmp_path / "m.onnx", out=tmp_path / "b", states={"state_in": "state_out"})


@pytest.mark.parametrize(("state_shape", "batched"), [(("b", 4), True), ((1, 4), False)])
def test_triton_is_told_to_keep_the_states(tmp_path, state_shape, batched):
    model = write_model(tmp_path / "m.onnx", state_shape)
    result = export(
        model, "--out", tmp_path / "m", "--state", "auto", "--triton-repository", tmp_path / "r", *QUICK
    )
    assert result.exit_code == 0, result.output
    config = text_format.Parse((tmp_path / "r" / "m" / "config.pbtxt").read_text(), pb.ModelConfig())
    assert [each.name for each in (*config.input, *config.output)] == ["x", "y"]
    assert config.WhichOneof("scheduling_choice") == "sequence_batching"
    assert config.max_batch_size == (32 if batched else 0)
    batching = config.sequence_batching
    assert (batching.oldest.max_candidate_sequences, batching.max_sequence_idle_microseconds) == (
        1024,
        60_000_000,
    )
    assert list(batching.oldest.preferred_batch_size) == ([8, 32] if batched else [])
    (state,) = batching.state
    (zeros,) = state.initial_state
    assert (state.input_name, state.output_name, state.data_type) == ("state_in", "state_out", pb.TYPE_FP32)
    assert list(state.dims) == list(zeros.dims) == ([4] if batched else [1, 4])
    assert zeros.zero_data
    assert not config.model_warmup
    assert command("verify", tmp_path / "r").exit_code == 0
    wrong = (tmp_path / "r" / "m" / "config.pbtxt").read_text().replace('"state_out"', '"other"')
    (tmp_path / "r" / "m" / "config.pbtxt").write_text(wrong)
    result = command("verify", tmp_path / "r")
    assert result.exit_code == 1
    assert "the model has no output 'other'; it has y, state_out" in result.stderr


def test_a_model_with_other_states_is_no_version_of_one_without(tmp_path, model):
    export(model, "--out", tmp_path / "m", "--triton-repository", tmp_path / "r", *QUICK)
    onnx_model = onnx.load(model)
    onnx_model.producer_name = "another file"
    onnx.save(onnx_model, model)
    result = export(
        model, "--out", tmp_path / "n" / "m", "--state", "auto", "--triton-repository", tmp_path / "r", *QUICK
    )
    assert result.exit_code == 1
    assert "serves a model with other inputs" in result.stderr
