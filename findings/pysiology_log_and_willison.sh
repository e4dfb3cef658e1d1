#!/usr/bin/env bash
# pysiology's log detector of an electromyogram has no logarithm, and its Willison amplitude counts falls alone.
#
# The log detector is the exponential of the mean of log |x|, a geometric mean. getLOG takes the exponential of the mean of |x|, as its
# documentation says, too. That is no amplitude, and ends with an OverflowError from a mean of 710 on, which signals in microvolts
# have. getWAMP is to count steps of |x_i - x_(i+1)| above a threshold, says its documentation. It has no absolute value, so
# that steps upwards do not count, and a signal that is played backwards has another amplitude.
#
# Seen with pysiology 0.0.9.71: getLOG of 2, 2, 2 is 7.389 (the geometric mean is 2); getWAMP of 1, -2, 3, -4, 5, 1, -1, -3 with a
# threshold of 4.5 is 1, and backwards 2 (three steps are larger).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pysiology==0.0.9.71' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from pysiology.electromyography import getLOG, getWAMP

signal = np.array([2.0, -2.0, 2.0])
print("log detector", getLOG(list(signal)), "geometric mean", np.exp(np.log(np.abs(signal)).mean()))
assert np.isclose(getLOG(list(signal)), np.exp(2)) and np.isclose(np.exp(np.log(np.abs(signal)).mean()), 2)
try:
    getLOG([800.0, -800.0])
except OverflowError as error:
    print("with 800 microvolts:", error)
else:
    raise AssertionError("no overflow")

steps = [1.0, -2, 3, -4, 5, 1, -1, -3]
counts = getWAMP(steps, 4.5), getWAMP(steps[::-1], 4.5), int((np.abs(np.diff(steps)) >= 4.5).sum())
print("Willison amplitude, backwards, counted", counts)
assert counts == (1, 2, 3)
PYTHON
