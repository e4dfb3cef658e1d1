#!/usr/bin/env bash
# resampy's filters kaiser_fast and sinc_window amplify a signal by up to 1.7 when it is decimated some hundred times, and give 0 above 512.
#
# The filter is a table of 512 values for each zero crossing. Its step, 512 times the ratio of the rates, is cut to an integer: of 1.28 remains
# 1, and of 0.93 remains 0. The gain follows the part that was cut. An envelope at the rate of audio resampled to 50 or 100 Hz gets there.
# The default filter kaiser_best has 8192 values and is as wrong at sixteen times these ratios.
#
# Seen with resampy 0.4.3 and numba 0.68.1, a signal of ones, mean far from its ends:
#   44100 to 100 Hz  kaiser_best 1.032  kaiser_fast 1.161  sinc_window 1.161
#   16000 to 50 Hz   kaiser_best 1.024  kaiser_fast 1.598  sinc_window 1.598
#   44100 to 80 Hz   kaiser_best 1.061  kaiser_fast 0      sinc_window 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'resampy==0.4.3' 'numba==0.68.1' 'scipy==1.17.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import resampy
import scipy.signal

for old, new in ((1000, 100), (44100, 100), (16000, 50), (44100, 80)):
    ones = np.ones(400 * old // new)
    gains = {}
    for name in ("kaiser_best", "kaiser_fast", "sinc_window"):
        gains[name] = float(resampy.resample(ones, old, new, filter=name)[150:250].mean())
    print(f"{old} to {new} Hz", {name: round(gain, 3) for name, gain in gains.items()})
    other = scipy.signal.resample_poly(ones, new, old)[150:250].mean()
    assert abs(other - 1) < 1e-3
    values = 512 * new / old
    for name in ("kaiser_fast", "sinc_window"):
        assert abs(gains[name] - (values / int(values) if values >= 1 else 0)) < 0.01
    assert abs(gains["kaiser_best"] - 1) < 0.07
PYTHON
