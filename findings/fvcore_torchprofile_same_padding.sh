#!/usr/bin/env bash
# fvcore and torchprofile: a convolution that pads 'same' costs nothing, one that pads as many zeros by number costs all.
#
# torch traces Conv1d(…, padding="same") to the operator aten::_convolution_mode. fvcore and torchprofile count
# aten::_convolution alone. Both warn of an operator without a handler, among warnings of additions and activations,
# and give a number: of a network for series that pads 'same', that of its last layer.
#
# Seen with fvcore 0.1.5.post20221221, torchprofile 0.1.0 and torch 2.13.0, multiply-adds:
#   4 to 8 channels, 5 taps, 100 positions   by hand 16000   padding=2: 16000 and 16000   padding="same": 0 and 0
#   three such convolutions and a linear     by hand 80040   padding=2: 80040 and 80040   padding="same": 40 and 40
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'fvcore==0.1.5.post20221221' \
    'torchprofile==0.1.0' 'torchvision==0.28.0' 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import logging

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchprofile import profile_macs

logging.disable()
x = torch.randn(1, 4, 100)


def conv(channels, padding):
    return nn.Conv1d(channels, 8, 5, padding=padding)


class Series(nn.Module):
    def __init__(self, padding):
        super().__init__()
        self.convs = nn.Sequential(conv(4, padding), nn.ReLU(), conv(8, padding), nn.ReLU(), conv(8, padding))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.convs(x).amax(-1))


def counted(network):
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(x)
    return FlopCountAnalysis(network, x).total(), profile_macs(network, x), counter.get_total_flops() // 2


by_hand = 4 * 8 * 5 * 100
cases = {"one": (lambda padding: conv(4, padding), by_hand, 0), "network": (Series, by_hand + 2 * 8 * 8 * 5 * 100 + 40, 40)}
for name, (build, all_of_it, left) in cases.items():
    for padding, expected in ((2, all_of_it), ("same", left)):
        fvcore, torchprofile, torchs_own = counted(build(padding).eval())
        print(name, padding, "by hand", all_of_it, "torch", torchs_own, "fvcore", fvcore, "torchprofile", torchprofile)
        assert fvcore == torchprofile == expected and torchs_own == all_of_it
PYTHON
