"""Reading ONNX files: good ones whole, bad ones refused in one line."""

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

from dashdeploy.errors import InputError
from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.external_data import copy_with_external_data, external_files
from dashdeploy.export.frontend.onnx_files import from_torch, read_onnx, with_input_shapes
from dashdeploy.export.passes.sequence import prepare
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

TEXT = "g (float[b,4,n] x) => (float[b,6,m] y) { y = Conv(x, w, c) }"


@pytest.fixture
def model(onnx_model):
    return onnx_model(TEXT, w=(6, 4, 9), c=(6,))


def refusal(path):
    with pytest.raises(InputError) as error:
        read_onnx(path)
    message = str(error.value)
    assert error.value.exit_code == 1
    assert "\n" not in message
    assert str(path) in message
    return message


def test_reads_what_is_there(tmp_path, model):
    model.metadata_props.add(key="classes", value="cat,dog")
    onnx.save(model, tmp_path / "m.onnx")
    read = ir.to_proto(prepare(read_onnx(tmp_path / "m.onnx")))
    assert [(entry.key, entry.value) for entry in read.metadata_props] == [("classes", "cat,dog")]
    assert [node.op_type for node in read.graph.node] == ["Conv"]
    assert read.graph.input[0].name == "x"


@pytest.mark.parametrize("length", [1, 10, 100, 0.5, -1])
def test_a_truncated_file(tmp_path, model, length):
    path, content = tmp_path / "m.onnx", model.SerializeToString()
    path.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    assert "is not a valid ONNX model" in refusal(path)


@pytest.mark.parametrize("content", [b"hello world\n" * 50, b"PK\x03\x04" + b"x" * 1000, b"\0" * 1000])
def test_what_is_not_onnx(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    assert "is not a valid ONNX model" in refusal(tmp_path / "m.onnx")


def test_nothing_empty_and_a_directory(tmp_path):
    assert "no such file" in refusal(tmp_path / "nowhere.onnx")
    (tmp_path / "empty.onnx").touch()
    assert "is empty" in refusal(tmp_path / "empty.onnx")
    (tmp_path / "folder.onnx").mkdir()
    assert "no such file" in refusal(tmp_path / "folder.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path, model):
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "m.onnx").chmod(0)
    assert "ermission" in refusal(tmp_path / "m.onnx")


def test_old_opsets_and_new_formats(tmp_path, onnx_model):
    path = tmp_path / "m.onnx"
    onnx.save(onnx_model(TEXT, ir_version=99, w=(6, 4, 9), c=(6,)), path)
    assert "99" in refusal(path)
    for opset in (9, 13):  # what is old is converted later, see test_opset_conversion.py
        onnx.save(onnx_model(TEXT, opset=opset, w=(6, 4, 9), c=(6,)), path)
        assert read_onnx(path).opset_imports[""] == opset


def test_a_name_that_is_not_text(tmp_path, model):
    model.graph.node[0].name = "MARK"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString().replace(b"MARK", b"M\xa0RK"))
    refusal(tmp_path / "m.onnx")


def saved_outside(model, folder, location):
    """Saves the model with its weights in the file `location`."""
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save(copy, folder / "m.onnx", save_as_external_data=True, location=location, size_threshold=0)
    return folder / "m.onnx"


@pytest.mark.parametrize("location", ["m.data", "deep/er/m.data"])
def test_external_data_comes_into_memory(tmp_path, model, location):
    path = saved_outside(model, tmp_path, location)
    assert external_files(path.read_bytes()) == [location]
    read = ir.to_proto(read_onnx(path)).SerializeToString()
    (tmp_path / location).unlink()
    x = {"x": np.random.default_rng(0).standard_normal((2, 4, 30)).astype("f4")}
    expected = OnnxRuntime(model.SerializeToString(), threads=1).run(x)["y"]
    np.testing.assert_array_equal(OnnxRuntime(read, threads=1).run(x)["y"], expected)


def test_external_data_that_is_missing_or_short(tmp_path, model):
    path = saved_outside(model, tmp_path, "m.data")
    (tmp_path / "m.data").write_bytes(b"1234")
    assert "is not a valid ONNX model" in refusal(path)
    (tmp_path / "m.data").unlink()
    assert "m.data" in refusal(path)


@pytest.mark.parametrize(
    "location", ["../outside", "deep/../../outside", "{folder}/outside", "link", "deep", ""]
)
def test_external_data_outside_the_folder(tmp_path, model, location):
    folder = tmp_path / "model"
    path = saved_outside(model, folder, "deep/m.data")
    weights = (folder / "deep/m.data").read_bytes()
    (tmp_path / "outside").write_bytes(weights)
    (folder / "link").symlink_to(tmp_path / "outside")
    proto = onnx.load(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location.format(folder=tmp_path)
    path.write_bytes(proto.SerializeToString())
    refusal(path)


def test_a_copy_takes_its_data_along(tmp_path, model):
    path = saved_outside(model, tmp_path / "from", "deep/m.data")
    (tmp_path / "to").mkdir()
    to = tmp_path / "to" / "direct.onnx"
    copy_with_external_data(path, path.read_bytes(), to)
    assert to.read_bytes() == path.read_bytes()
    assert (tmp_path / "to/deep/m.data").read_bytes() == (tmp_path / "from/deep/m.data").read_bytes()
    path = saved_outside(model, tmp_path / "clash", "direct.onnx")
    with pytest.raises(InputError, match=r"external data lies in a file called direct\.onnx"):
        copy_with_external_data(path, path.read_bytes(), to)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1, 4, 40)}, "`input_shapes=z`: the model has no such input; it has x"),
        ({"x": (4, 40)}, "`input_shapes=x`: 2 axes, but the model's x has 3"),
        ({"x": (1, 5, 40)}, "`input_shapes=x`: axis 1 is 5, but the model has 4"),
    ],
)
def test_an_input_shape_that_contradicts_the_model(model, shapes, message):
    with pytest.raises(InputError) as error:
        with_input_shapes(ir.from_proto(model), shapes)
    assert str(error.value) == message


def test_an_input_shape_leaves_the_batch_dynamic(model):
    prepared = prepare(with_input_shapes(ir.from_proto(model), {"x": (1, 4, 40)}))
    runtime = OnnxRuntime(ir.to_proto(prepared).SerializeToString(), threads=1)
    assert runtime.inputs[0].shape == ("b", 4, 40)
    assert runtime.run({"x": np.zeros((7, 4, 40), "f4")})["y"].shape == (7, 6, 32)


def test_a_torch_module_keeps_a_dynamic_batch_and_loses_its_batch_norms():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(3, 5, 7, padding=3),
        torch.nn.BatchNorm1d(5),
        torch.nn.ReLU(),
        torch.nn.Conv1d(5, 2, 1),
    )
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2)
    module.eval()
    exported = from_torch(module, torch.zeros(2, 3, 30), input_name="in", output_name="out")
    assert [node.op_type for node in exported.graph] == ["Conv", "Relu", "Conv"]
    runtime = OnnxRuntime(ir.to_proto(exported).SerializeToString(), threads=1)
    assert isinstance(runtime.inputs[0].shape[0], str)
    for batch in (1, 5):
        x = torch.randn(batch, 3, 30)
        expected = module(x).detach().numpy()
        got = runtime.run({"in": x.numpy()})["out"]
        assert np.abs(got - expected).max() <= 2e-6 * np.abs(expected).max()


def test_what_is_computed_from_weights_alone_becomes_a_weight(onnx_model):
    model = onnx_model(
        "g (float[b,4,20] x) => (float[b,6,m] y) { n = Neg(v) w = Abs(n) y = Conv(x, w) }", v=(6, 4, 3)
    )
    prepared = prepare(ir.from_proto(model))
    assert [node.op_type for node in prepared.graph] == ["Conv"]
    (found,) = find_convolutions(prepared)
    (initializer,) = model.graph.initializer
    np.testing.assert_array_equal(found.weight, np.abs(onnx.numpy_helper.to_array(initializer)))
