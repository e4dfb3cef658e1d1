#!/usr/bin/env bash
# torch's FlopCounterMode counts scaled_dot_product_attention and nn.LSTM on the CPU as 0; a GRU and attention written out are counted.
#
# The counter knows the kernels of attention for CUDA alone, and on the CPU both go to kernels of their own, which it passes over in silence.
# A network measured on the CPU then lacks its attention, and a recurrent one nearly everything. Without oneDNN or with the backend
# MATH, the same calls are counted.
#
# Seen with torch 2.13.0 on x86-64, 10 positions of 4 channels, multiply-adds (half the flops):
#   attention                by hand 800   default 0   backend MATH 800
#   LSTM of 8 units          by hand 3840  default 0   without oneDNN 3840
#   GRU of 8 units           by hand 2880  default 2880
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode


def count(call, *data, around=contextlib.nullcontext):
    with around(), FlopCounterMode(display=False) as counter:
        call(*data)
    return counter.get_total_flops() // 2


def without_onednn():
    return torch.backends.mkldnn.flags(enabled=False)


q = torch.randn(1, 1, 10, 4)
by_hand = 2 * 10 * 10 * 4
default = count(scaled_dot_product_attention, q, q, q)
math = count(scaled_dot_product_attention, q, q, q, around=lambda: sdpa_kernel(SDPBackend.MATH))
print("attention: by hand", by_hand, "default", default, "backend MATH", math)
assert (default, math) == (0, by_hand)

x = torch.randn(10, 1, 4)
for layer, gates in ((nn.LSTM(4, 8), 4), (nn.GRU(4, 8), 3)):
    by_hand = 10 * gates * 8 * (4 + 8)
    default, other = count(layer, x), count(layer, x, around=without_onednn)
    print(type(layer).__name__, "by hand", by_hand, "default", default, "without oneDNN", other)
    assert other == by_hand
    assert default == (0 if gates == 4 else by_hand)
PYTHON
