"""The plan of a model with long names fits a terminal and loses nothing."""

import re

import numpy as np
import onnx
import pytest

from dashdeploy.export.pipeline import plan_export
from dashdeploy.export.settings import ExportSettings
from dashdeploy.inspect.inspection import inspect_plan

BRANCHES = 24


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Of an Inception block of many branches, whose layers have the long names that TensorFlow gives."""
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "cache"))
    generator, nodes, weights = np.random.default_rng(0), [], []
    for branch in range(BRANCHES):
        name = f"StatefulPartitionedCall/model/inception_block/branch_{branch}/Conv2D"
        taps = 31 + 2 * (branch % 3)
        weight = generator.standard_normal((8, 64, 1, taps), "f4")
        weights.append(onnx.numpy_helper.from_array(weight, f"{name}.weight"))
        pads = [0, taps // 2, 0, taps // 2]
        nodes.append(onnx.helper.make_node("Conv", ["x", f"{name}.weight"], [f"y{branch}"], pads=pads))
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["b", 64, 1, 500])
    outputs = [
        onnx.helper.make_tensor_value_info(f"y{i}", onnx.TensorProto.FLOAT, ["b", 8, 1, 500])
        for i in range(BRANCHES)
    ]
    graph = onnx.helper.make_graph(nodes, "g", [x], outputs, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "m.onnx")
    return plan_export(tmp_path / "m.onnx", ExportSettings(tune="estimate"))


def test_a_fused_groups_name_is_short(plan):
    (joint,) = (layer for layer in plan.layers if layer.merges)
    first = "StatefulPartitionedCall/model/inception_block/branch_0/Conv2D"
    assert joint.name == f"{first}+{BRANCHES - 1}"
    assert len(joint.merges) == BRANCHES
    merged = [layer for layer in plan.layers if layer.chosen == "merged"]
    assert {layer.reason for layer in merged} == {f"part of {joint.name}"}


@pytest.mark.parametrize(
    "device", ["a CPU", "ONNX Runtime 1.31.1, a processor of many words, " + 4 * "and words "]
)
def test_a_line_fits_a_terminal_and_names_are_whole(plan, device):
    text = inspect_plan(plan.model_dump(mode="json") | {"device": device}).text
    assert " ".join(text.partition("costs by")[0].split()) == f"plan for ort-cpu: {device},"
    assert max(len(line) for line in text.splitlines()) <= 100
    plan_lines, _, candidates = text.partition("candidate")
    for layer in plan.layers:
        assert f"\n{layer.name}\n    {layer.chosen}: " in plan_lines
        assert f"\n    {layer.reason}\n" in plan_lines
    first_column = re.sub(r"\s", "", "".join(line[:20] for line in candidates.splitlines()))
    for layer in plan.layers:
        assert layer.name in first_column
    for candidate in plan.layers[0].candidates:
        assert candidate.lowering in candidates
