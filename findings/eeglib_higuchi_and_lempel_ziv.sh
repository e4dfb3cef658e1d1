#!/usr/bin/env bash
# eeglib's Higuchi dimension of a straight line is above 1.1, and its complexity ignores a threshold of 0.
#
# Higuchi measures a curve with steps of k samples, and divides by the number of steps. HFD leaves the last step out
# and divides by all. By default k goes up to a quarter of the length, where one of three steps is missing. A line has
# dimension 1 exactly, and a curve in a plane at most 2. LZC takes the median where the threshold is 0, the value that
# tells the signs apart, as if none had been given. Any other value is obeyed.
#
# Seen with eeglib 0.4.1.3, 256 samples:
#   HFD of a line 1.13, by the definition 1    of noise 2.14, by the definition 2.00
#   LZC of noise around 0.8: threshold 0 the same as the median, 1e-9 about two thirds of it
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'eeglib==0.4.1.3' 'numba==0.68.1' 'scikit-learn==1.9.1' 'pandas==3.1.1' 'pyEDFlib==0.1.42' 'numpy==2.4.6' \
    'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from eeglib.features import HFD, LZC


def higuchi(x, largest):
    """Minus the slope of the mean length over the step, both as logarithms, for steps of 2 to `largest` samples."""
    steps = np.arange(2, largest + 1)
    lengths = []
    for k in steps:
        of_starts = [np.abs(np.diff(x[m::k])).mean() * (len(x) - 1) / k**2 for m in range(k)]
        lengths.append(np.mean(of_starts))
    return -np.polyfit(np.log(steps), np.log(lengths), 1)[0]


for length in (64, 256, 1024):
    series = np.arange(float(length)), np.random.default_rng(0).standard_normal(length)
    seen, expected = [HFD(x) for x in series], [higuchi(x, length // 4) for x in series]
    print(length, "samples, line and noise", seen, "by the definition", expected)
    assert np.isclose(expected[0], 1) and abs(expected[1] - 2) < 0.06
    assert 1.1 < seen[0] < 1.2 and seen[1] > 2.09

x = np.random.default_rng(0).standard_normal(1000) + 0.8
zero, median, nearly_zero = LZC(x, threshold=0), LZC(x), LZC(x, threshold=1e-9)
signs = LZC(np.where(x > 0, 1.0, -1.0), threshold=1e-9)
print("complexity with threshold 0", zero, "with the median", median, "with 1e-9", nearly_zero, "of the signs", signs)
assert zero == median and nearly_zero == signs and nearly_zero < 0.75 * median
PYTHON
