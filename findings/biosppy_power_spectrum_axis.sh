#!/usr/bin/env bash
# BioSPPy's power_spectrum spreads N / 2 bins over 0 to the Nyquist frequency, so every frequency but 0 is too high.
#
# The last of these bins lies one bin below Nyquist, but is given that frequency. The error grows with the frequency and with a
# shorter signal, and a peak next to the edge of a band falls into the next band.
#
# Seen with biosppy 2.2.4 at 100 Hz, sines of 10 and 40 Hz:
#   100 samples  10.204 and 40.816 Hz   1000 samples  10.02 and 40.08 Hz
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'biosppy==2.2.4' 'peakutils==1.3.5' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from biosppy.signals.tools import band_power, power_spectrum

RATE = 100
for length in (100, 1000):
    for frequency in (10, 40):
        sine = np.sin(2 * np.pi * frequency * np.arange(length) / RATE)
        frequencies, power = power_spectrum(sine, sampling_rate=RATE, decibel=False)
        right = np.fft.rfftfreq(length, 1 / RATE)[np.argmax(np.abs(np.fft.rfft(sine)))]
        seen = frequencies[np.argmax(power)]
        print("samples", length, "sine", frequency, "NumPy", right, "BioSPPy", seen)
        assert right == frequency
        assert np.isclose(seen, frequency * (length / 2) / (length / 2 - 1))

sine = np.sin(2 * np.pi * 12 * np.arange(100) / RATE)
frequencies, power = power_spectrum(sine, sampling_rate=RATE, decibel=False)
low, high = (band_power(frequencies, power, band, decibel=False)["avg_power"] for band in ((8, 12), (12, 30)))
print("a sine of 12 Hz, power within 8 to 12 Hz:", low, "and within 12 to 30 Hz:", high)
assert low < 1e-6 < high
PYTHON
