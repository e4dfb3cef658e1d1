#!/usr/bin/env bash
# python_speech_features' energy is that of the windowed, pre-emphasized frame, and half of it.
#
# fbank documents its second value as the total energy of the frame, unwindowed, and mfcc puts its logarithm in place
# of the first coefficient. The energy is summed over the spectrum of the frame behind pre-emphasis and window. That
# spectrum holds one side of the frequencies alone, so half of the energy is missing even without both.
#
# Seen with python_speech_features 0.6, one frame of 25 ms at 16 kHz of a sine with an energy of 200:
#   100 Hz: 0.24, with winfunc=numpy.hamming 0.09, with preemph=0 102.5, with both 39.6    3000 Hz: 119
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'python_speech_features==0.6' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from python_speech_features import fbank, mfcc

RATE, LENGTH = 16_000, 400


def energies(x, **options):
    return fbank(x, RATE, **options)[1][0], np.exp(mfcc(x, RATE, **options)[0, 0])


def one_side(x, preemph, window):
    """The sum of the squares as said above, in the time domain: half of it, and of what 0 Hz and 8 kHz hold."""
    frame = np.append(x[0], x[1:] - preemph * x[:-1]) * window
    signs = (-1.0) ** np.arange(LENGTH)
    return (frame**2).sum() / 2 + (frame.sum() ** 2 + (signs @ frame) ** 2) / 2 / 512


for frequency in (100, 3000):
    x = np.sin(2 * np.pi * frequency * np.arange(LENGTH) / RATE)
    total = (x**2).sum()
    for preemph in (0.97, 0):
        for window in (np.ones, np.hamming):
            seen, coefficient = energies(x, preemph=preemph, winfunc=window)
            print(frequency, "Hz, preemph", preemph, window.__name__, "energy", seen, "of", total)
            assert np.isclose(seen, coefficient) and np.isclose(seen, one_side(x, preemph, window(LENGTH)))

low = np.sin(2 * np.pi * 100 * np.arange(LENGTH) / RATE)
assert np.isclose((low**2).sum(), 200)
assert energies(low)[0] < 0.3 and energies(low, winfunc=np.hamming)[0] < 0.1
assert 90 < energies(low, preemph=0)[0] < 110 and energies(low, preemph=0, winfunc=np.hamming)[0] < 45
PYTHON
