#!/usr/bin/env bash
# pyHRV's Lomb spectrum is taken at periods in place of frequencies, and its autoregressive bands add up decibels.
#
# lomb_psd labels its values from 0 to 0.41 Hz. It computes them at the angular frequency 2π / f, not 2π f, of times in
# ms, so that none stands where its label says, and normalizes them, though documented in ms². ar_psd leaves the mean
# in, turns the density into decibels, multiplies these by 1000 and sums them over the bands as ms². A tenth of the
# deviation has a hundredth of the power, but nearly all of that sum. welch_psd finds the rhythms and their powers.
#
# Seen with pyHRV 0.5.0, intervals with a rhythm of 50 ms at 0.1 Hz and one of 20 ms at 0.25 Hz:
#   low over high frequency, must be about 6: Welch 6.3, Lomb 0.63, autoregressive 0.56
#   largest value at, must be 0.100 Hz: Welch 0.100, Lomb 0.042; by scipy's Lomb-Scargle 0.100
#   total power, a tenth of the deviation and all of it: Welch 14.5 and 1450, autoregressive 15949 and 16371 ms²
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'pyhrv==0.5.0' 'biosppy==2.2.4' 'spectrum==0.10.0' 'nolds==0.6.2' 'peakutils==1.3.5' \
    'matplotlib==3.11.2' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
MPLBACKEND=agg venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from pyhrv.frequency_domain import ar_psd, lomb_psd, welch_psd
from scipy.interpolate import interp1d
from scipy.signal import lombscargle
from spectrum import pyule

intervals = []
for _ in range(400):
    t = sum(intervals) / 1000
    intervals.append(800 + 50 * np.sin(2 * np.pi * 0.1 * t) + 20 * np.sin(2 * np.pi * 0.25 * t))
intervals = np.array(intervals)

seen = {}
for function, key in ((welch_psd, "fft"), (lomb_psd, "lomb"), (ar_psd, "ar")):
    found, frequencies, powers = function(intervals, mode="dev")
    seen[key] = found[f"{key}_ratio"], found[f"{key}_total"], frequencies[np.argmax(powers)]
    print(function.__name__, "low over high", seen[key][0], "total", seen[key][1], "largest at", seen[key][2])
assert np.isclose(seen["fft"][0], 50**2 / 20**2, rtol=0.05) and np.isclose(seen["fft"][1], 1450, rtol=0.02)
assert abs(seen["fft"][2] - 0.1) < 0.001 and seen["lomb"][0] < 1 and seen["ar"][0] < 1

times = np.cumsum(intervals) - intervals[0]
grid = np.linspace(0, 0.41, 256)[1:]
right = lombscargle(times / 1000, intervals - intervals.mean(), 2 * np.pi * grid, normalize=True)
_, _, powers = lomb_psd(intervals, mode="dev")
print("by scipy, largest at", grid[right.argmax()], "with", right.max(), "pyHRV's largest", powers.max())
assert abs(grid[right.argmax()] - 0.1) < 0.001 and right.max() > 0.8
assert abs(seen["lomb"][2] - 0.1) > 0.05 and powers.max() < 0.05
assert np.allclose(powers[1:], lombscargle(times, intervals, 2 * np.pi / grid, normalize=True))

totals = {}
for scale in (0.1, 1):
    x = 800 + scale * (intervals - 800)
    totals[scale] = [each(x, mode="dev")[0][f"{key}_total"] for each, key in ((welch_psd, "fft"), (ar_psd, "ar"))]
    print("deviation times", scale, "total by Welch and autoregressive", totals[scale])
assert np.isclose(totals[1][0] / totals[0.1][0], 100, rtol=0.02) and totals[1][1] < 1.1 * totals[0.1][1]

model = pyule(interp1d(times, intervals, "cubic")(np.arange(0, times[-1], 250)), 16, NFFT=4096, sampling=4)
model.scale_by_freq = False
model()
assert np.allclose(ar_psd(intervals, mode="dev")[2] * 1e6, 1000 * 10 * np.log10(model.psd))
PYTHON
