#!/usr/bin/env bash
# torchinfo counts a Linear layer once for each series of a batch, however many positions it is applied to.
#
# A Linear of a series of shape [batch, positions, channels] runs at every position, as a convolution of one tap does. torchinfo takes
# the size of the batch times the weights. Beside convolutions, which are counted by positions, the layers of a transformer or a
# mixer over 1000 positions look a thousand times too cheap.
#
# Seen with torchinfo 1.8.0 and torch 2.13.0, 4 to 8 channels without bias at 40 positions, multiply-adds:
#   Conv1d of one tap  torch 1280  torchinfo 1280      Linear  torch 1280  torchinfo 32
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torchinfo==1.8.0' 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary

conv, linear = nn.Conv1d(4, 8, 1, bias=False), nn.Linear(4, 8, bias=False)
linear.weight.data = conv.weight.data[:, :, 0].clone()
x = torch.randn(1, 4, 40)
assert torch.allclose(conv(x), linear(x.mT).mT, atol=1e-6)
counts = {}
for layer, data in ((conv, x), (linear, x.mT)):
    with FlopCounterMode(display=False) as counter:
        layer(data)
    name = type(layer).__name__
    counts[name] = (counter.get_total_flops() // 2, summary(layer, input_data=data, verbose=0).total_mult_adds)
    print(name, "torch", counts[name][0], "torchinfo", counts[name][1])
assert counts["Conv1d"] == (8 * 4 * 40, 8 * 4 * 40)
assert counts["Linear"] == (8 * 4 * 40, 8 * 4)
PYTHON
