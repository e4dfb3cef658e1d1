#!/usr/bin/env bash
# julius's fft_conv1d with a kernel of one tap gives an empty tensor.
#
# The layer is announced as the same as torch's conv1d. Of each block it drops the last taps - 1 values, written as [..., : -taps + 1],
# and for one tap that is [..., : 0]: everything. No error is raised, and a mean over the empty axis is NaN. Longer kernels are right.
#
# Seen with julius 0.2.8 and torch 2.13.0, 50 positions: 1 tap torch 50, julius 0; 2 taps torch 49, julius 49.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'julius==0.2.8' 'torch==2.13.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import julius
import torch

torch.manual_seed(0)
x = torch.randn(2, 3, 50)
for taps in (1, 2, 7, 50):
    weight = torch.randn(4, 3, taps)
    right = torch.nn.functional.conv1d(x, weight)
    theirs = julius.fft_conv1d(x, weight)
    print(taps, "taps: torch", tuple(right.shape), "julius", tuple(theirs.shape))
    assert right.shape == (2, 4, 51 - taps)
    if taps == 1:
        assert theirs.shape == (2, 4, 0)
    else:
        assert torch.allclose(theirs, right, atol=1e-4)

layer = julius.FFTConv1d(3, 4, 1)
pooled = layer(x).mean(dim=-1)
print("FFTConv1d(3, 4, 1) and a mean:", pooled[0])
assert bool(pooled.isnan().all())
PYTHON
