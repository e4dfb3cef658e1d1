#!/usr/bin/env bash
# tsfel's spectral variation compares neighbouring frequencies of one spectrum: 1 for a steady sine, nearly 0 for a sweep.
#
# The documentation calls it the amount of variation of the spectrum along time, from the correlation between two consecutive amplitude
# spectra. There is one spectrum, that of the whole signal, which is correlated with itself one bin further. A sine with a whole
# number of periods has a single line and gets the largest variation; a sweep fills a band smoothly and gets the least.
#
# Seen with tsfel 0.2.0, 1000 samples at 100 Hz, and one minus the correlation of the spectra of two halves:
#   sine of 5 Hz: tsfel 1.000, halves 0.000    sweep from 1 to 40 Hz: tsfel 0.001, halves 0.85
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tsfel==0.2.0' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==3.1.1' 'setuptools==80.9.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import tsfel
from scipy.signal import chirp

RATE = 100
t = np.arange(1000) / RATE


def variation(first, second):
    return 1 - first @ second / np.sqrt((first @ first) * (second @ second))


def by_time(x):
    return variation(*np.abs(np.fft.rfft(x.reshape(2, -1))))


def by_bins(x):
    spectrum = np.abs(np.fft.rfft(x))
    return variation(spectrum[:-1], spectrum[1:])


sine, sweep = np.sin(2 * np.pi * 5 * t), chirp(t, 1, t[-1], 40)
for name, x in (("sine", sine), ("sweep", sweep)):
    print(name, "tsfel", tsfel.spectral_variation(x, RATE), "between halves", by_time(x), "between bins", by_bins(x))
    assert np.isclose(tsfel.spectral_variation(x, RATE), by_bins(x))
assert by_time(sine) < 1e-6 < 0.5 < by_time(sweep)
assert tsfel.spectral_variation(sweep, RATE) < 0.01 < 0.99 < tsfel.spectral_variation(sine, RATE)
PYTHON
