#!/usr/bin/env bash
# vmdpy leaves out the last value of a series of odd length, so that its modes do not fit the series.
#
# VMD gives modes of 100 values for a series of 101, without a word, and the same modes as for the series without its last value.
# Subtracting their sum from the series fails, and a table with the series' time stamps ends one row too early.
#
# Seen with vmdpy 0.2: series of 100 and of 101 values, modes of shape (2, 100) for either, and the same to the last bit, though the
# last value is 1000.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'vmdpy==0.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from vmdpy import VMD

time = np.arange(101) / 100
series = np.cos(2 * np.pi * 5 * time) + 0.5 * np.cos(2 * np.pi * 20 * time)
series[-1] = 1000.0
modes = {}
for count in (100, 101):
    modes[count], _, _ = VMD(series[:count], alpha=2000, tau=0, K=2, DC=0, init=1, tol=1e-7)
    print(count, "values:", modes[count].shape)
    assert modes[count].shape == (2, 100)
print("greatest difference of the modes", np.abs(modes[100] - modes[101]).max())
assert np.array_equal(modes[100], modes[101])
PYTHON
