#!/usr/bin/env bash
# tensorpac's modulation index of a phase and an amplitude depends on the other phases and epochs of the call.
#
# The index compares the mean amplitude in 18 bins of the phase. Each bin's sum is divided by the number of samples in
# the bin, but that number is counted over all phases and all epochs of the arrays. With one phase and one epoch it is
# right. Beside another whose samples are spread in another way, the means are not: coupling appears where there is
# none, and shrinks or grows where there is some. The heights ratio shares the bins. A bin that is empty for one phase
# and not for another turns the index of the first into NaN. The mean vector length has no bins and is the same alone.
#
# Seen with tensorpac 0.6.5, a constant amplitude and an evenly spread phase, where the index must be 0:
#   alone 0.000, beside a phase that is near 0 more often than elsewhere 0.010; as two epochs 0.010
#   amplitude 1 + cos(phase) / 2: alone 0.022, beside that phase 0.012
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tensorpac==0.6.5' 'joblib==1.6.0' 'matplotlib==3.11.2' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from tensorpac import Pac

LENGTH, BINS = 18000, 18
even = -np.pi + 2 * np.pi * (np.arange(LENGTH) + 0.5) / LENGTH
uneven = even - 0.8 * np.sin(even)
inside = np.digitize(even, np.linspace(-np.pi, np.pi, BINS + 1)) - 1


def index(phases, amplitudes, method=2):
    return Pac(idpac=(method, 0, 0), f_pha=[2, 4], f_amp=[60, 80], verbose="ERROR").fit(phases, amplitudes, n_jobs=1)


def definition(amplitude):
    means = np.array([amplitude[inside == k].mean() for k in range(BINS)])
    share = means / means.sum()
    return 1 + np.sum(share * np.log(share)) / np.log(BINS)


for name, amplitude in (("constant", np.ones(LENGTH)), ("coupled", 1 + np.cos(even) / 2)):
    expected = definition(amplitude)
    alone = index(even[None, None], amplitude[None, None])[0, 0, 0]
    beside = index(np.stack([even, uneven])[:, None], amplitude[None, None])[0, 0, 0]
    epochs = index(np.stack([even, uneven])[None], np.stack([amplitude] * 2)[None])[0, 0, 0]
    print(name, "alone", alone, "beside", beside, "as two epochs", epochs, "by the definition", expected)
    assert np.isclose(alone, expected, atol=1e-9)
    assert abs(beside - alone) > 0.005 and np.isclose(epochs, beside)
    pair = ([even], [even, uneven])
    assert np.isclose(*(index(np.stack(phases)[:, None], amplitude[None, None], 1)[0, 0, 0] for phases in pair))

half = even / 2
print("empty bins, alone", index(half[None, None], np.ones((1, 1, LENGTH)))[0, 0, 0], end=" ")
seen = index(np.stack([half, even])[:, None], np.ones((1, 1, LENGTH)))[0, 0, 0]
print("beside", seen)
assert np.isnan(seen)
PYTHON
