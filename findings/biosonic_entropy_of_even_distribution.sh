#!/usr/bin/env bash
# biosonic gives the most even distribution the entropy 0, and its O'Shaughnessy mel scale is 2.3 times too long.
#
# Shannon's entropy is largest, and 1 when normalized, where all probabilities are equal. shannon_entropy returns 0
# there, beside the right maximum, and even the example of its documentation does. A hair away from equal it is 1.
# A click, whose spectrum is flat, so has the power spectral entropy of a pure tone. O'Shaughnessy's scale is
# 2595 log10(1 + f / 700), with 1000 mel at 1000 Hz. hz_to_mel takes the natural logarithm. temporal_features with a
# silence threshold counts its quartiles from the end of the silence, but its centroid from the start of the sound.
#
# Seen with biosonic 0.1.8:
#   entropy of 0.25 0.25 0.25 0.25: 0, of 0.24 0.26 0.25 0.25: 0.9997    of a click 0, of a sine 0, of noise 0.90
#   1000 Hz: 2302.6 mel    a tone from 1 s to 2 s: median at 0.53 s, centroid at 1.50 s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'biosonic==0.1.8' 'pandas==2.3.3' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from biosonic.compute.spectral import power_spectral_entropy
from biosonic.compute.temporal import temporal_features
from biosonic.compute.utils import hz_to_mel, shannon_entropy
from scipy.stats import entropy

for p in (np.full(4, 0.25), np.array([0.24, 0.26, 0.25, 0.25]), np.array([0.97, 0.01, 0.01, 0.01])):
    seen, expected = shannon_entropy(p), entropy(p) / np.log(4)
    print("probabilities", p, "entropy and maximum", seen, "by scipy", expected)
    assert seen[1] == 1 and np.isclose(seen[0], 0 if (p == 0.25).all() else expected)
    assert expected > 0.99 or p[0] > 0.9

RATE, LENGTH = 1000, 256
click = np.zeros(LENGTH)
click[0] = 1
noise = np.random.default_rng(0).standard_normal(LENGTH)
sine = np.sin(np.arange(LENGTH) * np.pi / 8)
for name, x, value in (("click", click, 0), ("sine", sine, 0), ("noise", noise, 0.9)):
    power = np.abs(np.fft.rfft(x)) ** 2
    expected = entropy(power) / np.log(len(power))
    seen = power_spectral_entropy(x, RATE)[0]
    print(name, "spectral entropy", seen, "by scipy", expected)
    assert np.isclose(seen, value, atol=0.02) and (np.isclose(expected, seen, atol=1e-3) or name == "click")
    assert name != "click" or np.isclose(expected, 1)

for frequency in (700, 1000, 4000):
    seen, expected = float(hz_to_mel(frequency)), 2595 * np.log10(1 + frequency / 700)
    print(frequency, "Hz", seen, "by the formula", expected)
    assert np.isclose(seen / expected, np.log(10), rtol=1e-5)

RATE = 8000
t = np.arange(3 * RATE) / RATE
found = temporal_features(np.sin(2 * np.pi * 500 * t) * ((t >= 1) & (t < 2)), RATE, silence_threshold=0.1)
print("tone from 1 s to 2 s, median", found["t_median"], "centroid", found["temporal_centroid"])
assert np.isclose(found["temporal_centroid"], 1.5, atol=0.05) and np.isclose(found["t_median"], 0.5, atol=0.05)
PYTHON
