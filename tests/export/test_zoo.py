"""Anyone's network: exported by torch.onnx, old way and new, and compiled, it says what PyTorch says."""

import warnings

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from dashdeploy.export.frontend.convolutions import find_convolutions
from dashdeploy.export.frontend.onnx_files import read_onnx
from dashdeploy.export.passes.sequence import lower, prepare
from dashdeploy.export.planning.planner import choose_lowerings
from dashdeploy.export.planning.tuning_cache import TuningCache
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.cpu import OrtCpuTarget
from tests.export.zoo import ZOO

TOLERANCE = 5e-6
"""Of the largest output, in float32, against PyTorch in float64; every layer of a network adds its roundings."""

QUICK = [*((name, "legacy") for name in ZOO), ("resnext", "dynamo"), ("conformer", "dynamo")]
SLOW = [(name, "dynamo") for name in ZOO if (name, "dynamo") not in QUICK]


def built(name):
    make, shape = ZOO[name]
    torch.manual_seed(0)
    module = make()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
    return module.eval(), shape


def exported(module, shape, exporter, path):
    sample = torch.randn(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the older exporter, and packages that play no part
        if exporter == "dynamo":
            batch = ({0: torch.export.Dim("batch")},)
            program = torch.onnx.export(module, (sample,), dynamo=True, verbose=False, dynamic_shapes=batch)
            program.save(path)
        else:
            axes = {"x": {0: "batch"}, "y": {0: "batch"}}
            names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
            torch.onnx.export(module, (sample,), path, dynamo=False, **names)


@pytest.mark.parametrize(
    ("name", "exporter"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_compiled_it_says_what_pytorch_says(tmp_path, run_model, name, exporter):
    module, shape = built(name)
    exported(module, shape, exporter, tmp_path / "m.onnx")
    model = prepare(read_onnx(tmp_path / "m.onnx"))
    convolutions = find_convolutions(model)
    assert convolutions
    assert [found.obstacle for found in convolutions] == [None] * len(convolutions)
    x = torch.randn(3, *shape)
    with torch.inference_mode():
        expected = module.double()(x.double()).numpy()
    for lowering in ("fft", "auto"):
        target = OrtCpuTarget(1)
        settings = ExportSettings(lowering=lowering, tune="estimate")
        table = TuningCache(target.describe())
        decisions = choose_lowerings(convolutions, settings, target, table, lambda _line: None)
        compiled = lower(model, decisions.lowerings, decisions.fusion_groups)
        if lowering == "fft":
            assert len(decisions.lowerings) == len(convolutions)
            assert "Conv" not in {node.op_type for node in compiled.graph}
        proto = ir.to_proto(compiled)
        onnx.checker.check_model(proto)
        (y,) = run_model(compiled, {compiled.graph.inputs[0].name: x.numpy()})
        assert y.shape == expected.shape
        assert np.abs(y - expected).max() <= TOLERANCE * np.abs(expected).max()
