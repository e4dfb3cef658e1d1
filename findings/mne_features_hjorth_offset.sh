#!/usr/bin/env bash
# mne-features' Hjorth mobility goes to 1, and its complexity to 1.41, where a channel has an offset.
#
# Both are ratios of standard deviations of a signal and its differences, so that a constant added to the signal
# changes nothing. A zero is put in front of the channel first, which makes the offset a step in the signal and a peak
# in its differences. Electrodes have offsets of millivolts beside an EEG of some ten microvolts.
#
# Seen with mne-features 0.3.2 and mne 1.13.2, 1000 samples of a series with a standard deviation of 20:
#   offset       0      100    4000
#   mobility     0.46   0.48   0.99     by the definition 0.46
#   complexity   3.15   3.01   1.43     by the definition 3.15
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'mne-features==0.3.2' 'mne==1.13.2' 'numba==0.68.1' 'PyWavelets==1.9.0' 'scikit-learn==1.9.1' 'pandas==3.1.1' \
    'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from mne_features.univariate import compute_hjorth_complexity, compute_hjorth_mobility
from scipy.signal import lfilter

series = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(1000))
series *= 20 / series.std()


def mobility(x):
    return np.std(np.diff(x)) / np.std(x)


seen = {}
for offset in (0.0, 100.0, 4000.0):
    x = series + offset
    seen[offset] = compute_hjorth_mobility(x[None])[0], compute_hjorth_complexity(x[None])[0]
    expected = mobility(x), mobility(np.diff(x)) / mobility(x)
    print("offset", offset, "mobility and complexity", seen[offset], "by the definition", expected)
    assert np.allclose(expected, (mobility(series), mobility(np.diff(series)) / mobility(series)))
    if offset == 0:
        assert np.allclose(seen[offset], expected, rtol=0.02)
assert seen[4000.0][0] > 2 * seen[0.0][0] and np.isclose(seen[4000.0][0], 1, atol=0.05)
assert np.isclose(seen[4000.0][1], np.sqrt(2), atol=0.05) and seen[0.0][1] > 1.5 * seen[4000.0][1]
PYTHON
