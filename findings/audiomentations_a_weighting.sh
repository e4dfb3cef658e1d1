#!/usr/bin/env bash
# audiomentations adds the 2 dB of the A-weighting to its linear gain, so that A-weighted noise is nearly white.
#
# The A-weighting is 20 log10 R(f) + 2.00 dB, R being 0.79 at 1000 Hz and 0.05 at 62.5 Hz. AddColorNoise multiplies the spectrum of
# its noise with R(f) + 2.00, which is between 2 and 2.8 everywhere. The noise keeps its low frequencies, which the weighting
# is there to take away. Without the 2, the library's own formula gives the values of IEC 61672.
#
# Seen with audiomentations 0.43.1, white noise with p_apply_a_weighting=1, 16000 samples per second, level against 1000 Hz:
#   62.5 Hz -2.8 dB (A-weighting -26.4)   125 Hz -2.1 dB (-16.1)   250 Hz -1.3 dB (-8.6)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'audiomentations==0.43.1' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import random

import numpy as np
from audiomentations import AddColorNoise
from audiomentations.core.utils import a_weighting_frequency_envelope
from scipy.signal import welch

RATE, POINTS, REFERENCE = 16000, 1024, 1000
IEC_61672 = {62.5: -26.4, 125: -16.1, 250: -8.6, 500: -3.2, 2000: 1.2, 4000: 1.0}

random.seed(0)
np.random.seed(0)
x = 0.1 * np.random.default_rng(0).standard_normal(2**20).astype(np.float32)


def noise_density(weighted):
    """Power density of the noise that is added."""
    add = AddColorNoise(
        min_snr_db=0, max_snr_db=0, min_f_decay=0, max_f_decay=0, p_apply_a_weighting=weighted, p=1.0, n_fft=POINTS
    )
    return welch(add(x, RATE) - x, RATE, nperseg=POINTS, window="boxcar")[1]


frequencies = np.fft.rfftfreq(POINTS, 1 / RATE)
reference = np.argmin(np.abs(frequencies - REFERENCE))
white = noise_density(0.0)
weighted = np.mean([noise_density(1.0) for _ in range(10)], axis=0)
gains = a_weighting_frequency_envelope(POINTS, RATE) - 2.00
for frequency, expected in IEC_61672.items():
    at = np.argmin(np.abs(frequencies - frequency))
    level = 10 * np.log10(weighted[at] / weighted[reference])
    level_white = 10 * np.log10(white[at] / white[reference])
    without_2 = 20 * np.log10(gains[at] / gains[reference])
    with_2 = 20 * np.log10((gains[at] + 2) / (gains[reference] + 2))
    print(frequency, "Hz: weighted noise", level, "white noise", level_white, "A-weighting", expected, "formula", without_2)
    assert np.isclose(without_2, expected, atol=0.15)
    assert np.isclose(level, with_2, atol=0.5)
    assert abs(level_white) < 0.5
    assert -3.1 < level < 0.8
PYTHON
