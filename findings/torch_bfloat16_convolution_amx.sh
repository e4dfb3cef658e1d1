#!/usr/bin/env bash
# torch's Conv1d and Conv2d in bfloat16 give unrelated numbers on processors with AMX for 8 or 12 channels and a kernel of 8 taps.
#
# An ECG of 12 leads and the first convolution of a common residual network for time series (8 taps) are such a shape, under autocast as
# well; nothing is said, and a network trained on it learns badly. Seen of undilated kernels in steps of one where an even number of input
# channels below 16 times the kernel's last extent is 64, 96, 128, ... The kernel is oneDNN 3.12's (brg_conv_fwd, AMX); with AMX switched
# off by ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 the same calls are right, up to rounding. The gradient of a transposed convolution with
# kernel and stride 4 is wrong in the same way. On a processor without AMX there is nothing to see: the script says so and ends with 2.
#
# Seen with torch 2.13.0, greatest difference from float32 of the same numbers, as part of the largest:
#   channels, taps            4, 8     8, 8    12, 8    13, 8    16, 8    12, 16   ConvTranspose1d(12, 16, 4, stride=4), gradient of x
#   with AMX                  0.002    0.85     1.22    0.003    0.003     1.20     1.00
#   AVX512_CORE_BF16          0.002    0.003    0.002   0.003    0.003     0.002    0.002
set -euo pipefail
if ! grep -q amx_bf16 /proc/cpuinfo 2>/dev/null; then
  echo "this processor has no AMX, for which this was seen" >&2
  exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
cat > measure.py <<'PYTHON'
import sys

import torch
from torch import nn

torch.manual_seed(0)


def error(mine, exact):
    return float((mine.double() - exact).abs().max() / exact.abs().max())


def of_convolution(channels, taps):
    x, weight = torch.randn(4, channels, 80).bfloat16(), torch.randn(24, channels, taps).bfloat16()
    return error(nn.functional.conv1d(x, weight), nn.functional.conv1d(x.double(), weight.double()))


def of_transposed_gradient():
    x, weight = torch.randn(3, 12, 40).bfloat16(), torch.randn(12, 16, 4).bfloat16()
    gradients = []
    for kind in (torch.bfloat16, torch.double):
        leaf = x.detach().to(kind, copy=True).requires_grad_()
        y = nn.functional.conv_transpose1d(leaf, weight.to(kind), stride=4)
        torch.manual_seed(1)
        y.backward(torch.randn(y.shape).bfloat16().to(kind))
        gradients.append(leaf.grad)
    return error(*gradients)


shapes = [(4, 8), (8, 8), (12, 8), (13, 8), (16, 8), (12, 16)]
errors = [of_convolution(*shape) for shape in shapes]
transposed = of_transposed_gradient()
print(*(f"{shape}: {each:.3f}" for shape, each in zip(shapes, errors)), f"transposed: {transposed:.3f}")
wrong = [shape for shape, each in zip(shapes, errors) if each > 0.5]
if "with-amx" in sys.argv:
    assert wrong == [(8, 8), (12, 8), (12, 16)], wrong
    assert transposed > 0.5
else:
    assert max(*errors, transposed) < 0.01
PYTHON
echo "with AMX"
env -u ONEDNN_MAX_CPU_ISA venv/bin/python measure.py with-amx
echo "AVX512_CORE_BF16"
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 venv/bin/python measure.py
