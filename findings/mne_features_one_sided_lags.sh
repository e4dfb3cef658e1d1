#!/usr/bin/env bash
# mne-features seeks a delay between channels on one side only, and its phase locking's diagonal overwrites pairs.
#
# max_cross_corr goes through the lags from minus to plus half a second, and takes each without its sign. The second
# channel is never the late one. Where it follows the first, the maximum of a copy is that of noise. phase_lock_val
# with include_diag writes the 1 of channel j to place j of the result, which belongs to the pairs of channel 0. The
# places of the later channels with themselves are never written.
#
# Seen with mne-features 0.3.2 and mne 1.13.2:
#   noise and its copy 0.2 s later: 0.07; with the channels exchanged 1.01; by numpy over both signs 1.01
#   three channels of noise, channel 0 with 1 and 2: 1 and 1 with the diagonal, 0.07 and 0.05 without
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
from mne_features.bivariate import compute_max_cross_corr, compute_phase_lock_val
from scipy.signal import hilbert

RATE, LENGTH, LAG = 100.0, 1000, 20
noise = np.random.default_rng(0).standard_normal(LENGTH + LAG)
early, late = noise[LAG:], noise[:LENGTH]


def correlation(x, y, lag):
    """Of x with y, y taken `lag` samples later; negative lags take x later."""
    return correlation(y, x, -lag) if lag < 0 else np.mean((x[: LENGTH - lag] * y[lag:]) / (x.std() * y.std()))


expected = max(abs(correlation(early, late, lag)) for lag in range(-50, 51))
forward = compute_max_cross_corr(RATE, np.stack([early, late]))[0]
backward = compute_max_cross_corr(RATE, np.stack([late, early]))[0]
print("late channel second", forward, "first", backward, "by numpy", expected)
assert forward < 0.15 and backward > 0.95 and expected > 0.95
assert np.isclose(correlation(early, late, LAG), expected)

channels = np.random.default_rng(0).standard_normal((3, LENGTH))
phases = np.angle(hilbert(channels))
pairs = [np.abs(np.exp(1j * (phases[i] - phases[j])).mean()) for i, j in ((0, 1), (0, 2), (1, 2))]
without = compute_phase_lock_val(channels)
diagonal = compute_phase_lock_val(channels, include_diag=True)
print("pairs by numpy", pairs, "without diagonal", without)
# The order is 00 01 02 11 12 22.
print("with diagonal, places 0, 1, 2 and 4", diagonal[[0, 1, 2, 4]])
assert np.allclose(without, pairs) and max(pairs) < 0.1
assert (diagonal[:3] == 1).all() and np.isclose(diagonal[4], pairs[2])
PYTHON
