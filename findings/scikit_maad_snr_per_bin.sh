#!/usr/bin/env bash
# scikit-maad's signal to noise ratio per frequency bin is 0 for every sound, and its energy per bin has no decibels.
#
# spectral_snr is to return, for each bin, energy, background and ratio in dB. The ratio subtracts the energy from
# itself. The energy is a power, beside the background in dB. Its ratio over all bins is right. peak_frequency with
# the method best, the default, places a parabola through the peak and looks for its top in steps of 1 Hz. Where bins
# are narrower than half of that, it returns the bin below the peak, with that bin's amplitude. fast is nearer.
#
# Seen with scikit-maad 1.5.2:
#   tone bursts in noise: ratio per bin 0 everywhere, must be up to 55 dB; energy per bin 0.0000002 to 0.06
#   sine of 1000.1 Hz, bins of 0.24 Hz: best 999.76 Hz, fast 1000.00 Hz, amplitude 0.02 against 0.40
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-maad==1.5.2' 'scikit-image==0.26.0' 'PyWavelets==1.9.0' 'matplotlib==3.11.2' 'pandas==3.1.1' \
    'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from maad import features, sound

RATE = 16000
t = np.arange(4 * RATE) / RATE
noise = np.random.default_rng(0).standard_normal(len(t))
bursts = np.sin(2 * np.pi * 3000 * t) * (t % 1 < 0.2)
power, _, frequencies, _ = sound.spectrogram(bursts + 0.01 * noise, RATE)
energy, background, ratio, energy_per_bin, background_per_bin, ratio_per_bin = sound.spectral_snr(power)
expected = 10 * np.log10(power.mean(axis=1)) - background_per_bin
print("over all bins", energy, background, ratio, "per bin: ratio", ratio_per_bin.min(), "to", ratio_per_bin.max())
print("must be up to", expected.max(), "energy", energy_per_bin.min(), "to", energy_per_bin.max())
print("background", background_per_bin.min(), "to", background_per_bin.max())
assert np.isclose(energy, 10 * np.log10(power.mean(axis=1).sum())) and ratio > 25
assert len(ratio_per_bin) == len(frequencies) and (ratio_per_bin == 0).all()
assert expected.max() > 40 and abs(frequencies[expected.argmax()] - 3000) < 100
assert np.allclose(energy_per_bin, power.mean(axis=1)) and (background_per_bin < -50).all()

BINS = 65536
tone = np.sin(2 * np.pi * 1000.1 * np.arange(8 * BINS) / RATE)
width = RATE / BINS
best = features.peak_frequency(tone, RATE, method="best", nperseg=BINS, amp=True)
fast = features.peak_frequency(tone, RATE, method="fast", nperseg=BINS, amp=True)
print("bins of", width, "Hz: best", best, "fast", fast)
assert abs(fast[0] - 1000.1) <= width / 2 and np.isclose(best[0], fast[0] - width)
assert best[1] < 0.5 * fast[1]
PYTHON
