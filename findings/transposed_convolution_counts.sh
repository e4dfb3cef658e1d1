#!/usr/bin/env bash
# Four counters of multiply-adds and a transposed convolution: thop and torchinfo count it stride times, onnx-tool more, calflops as 0.
#
# Every value of the input meets every tap of its group once. thop and torchinfo multiply the taps by the length of the output, which the
# stride has stretched by zeros that nobody multiplies. onnx-tool also takes the channels of the output for those of the input. calflops
# divides the weight's channels, which are those of one group, by the groups again: of one channel for each group remains 0.
#
# Seen with thop 0.1.1.post2209072238, torchinfo 1.8.0, onnx-tool 1.0.1, calflops 0.3.2 and torch 2.13.0, 40 positions, 5 taps, stride 4:
#   4 to 8 channels            by hand 6400  torch 6400  calflops 6400  thop 25760  torchinfo 25760  onnx-tool 51520
#   8 channels, each by itself by hand 1600  torch 1600  calflops 0     thop 6440   torchinfo 6440   onnx-tool 6440
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'thop==0.1.1.post2209072238' 'torchinfo==1.8.0' 'onnx-tool==1.0.1' \
    'calflops==0.3.2' 'transformers==5.24.0' 'accelerate==1.15.0' 'torch==2.13.0' 'onnx==1.23.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib
import copy
import io

import numpy as np
import onnx_tool
import torch
from calflops import calculate_flops
from onnx import TensorProto, helper, numpy_helper
from thop import profile
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary


def by_onnx_tool(layer, shape, result):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, result)
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=list(layer.stride), group=layer.groups)
    weight = numpy_helper.from_array(layer.weight.detach().numpy(), "w")
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    model = onnx_tool.Model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    model.graph.shape_infer({"x": np.zeros(shape, np.float32)})
    model.graph.profile()
    return model.graph.macs[0]


def counts(layer, shape):
    x = torch.zeros(shape)
    with FlopCounterMode(display=False) as counter:
        y = layer(x)
    with contextlib.redirect_stdout(io.StringIO()):
        return {
            "by hand": x.numel() * layer.weight.shape[1] * layer.weight.shape[2],
            "torch": counter.get_total_flops() // 2,
            "calflops": calculate_flops(
                copy.deepcopy(layer), input_shape=shape, output_as_string=False, print_results=False, print_detailed=False
            )[1],
            "thop": int(profile(copy.deepcopy(layer), (x,), verbose=False)[0]),
            "torchinfo": summary(layer, input_size=shape, verbose=0).total_mult_adds,
            "onnx-tool": int(by_onnx_tool(layer, shape, tuple(y.shape))),
        }


whole = counts(nn.ConvTranspose1d(4, 8, 5, stride=4, bias=False).eval(), (1, 4, 40))
apart = counts(nn.ConvTranspose1d(8, 8, 5, stride=4, groups=8, bias=False).eval(), (1, 8, 40))
print("4 to 8 channels", whole)
print("8 channels, each by itself", apart)
assert list(whole.values()) == [6400, 6400, 6400, 25760, 25760, 51520]
assert list(apart.values()) == [1600, 1600, 0, 6440, 6440, 6440]
PYTHON
