#!/usr/bin/env bash
# neurodsp's Welch spectrum loses up to two thirds of the power, and its window, where nfft asks for zeros.
#
# Zeros around a segment only place the frequencies more densely. neurodsp puts them there first and then lays the
# window over both, so that a segment gets the nearly flat middle of a window as long as nfft. The part of the window
# on the zeros is counted all the same, so the power is too small, and a sine leaks nearly as without a window.
#
# Seen with neurodsp 2.3.0 and scipy 1.17.1, a sine of power 1 with segments of 500 samples:
#   power with nfft of 500, 1000, 2000, 4000: neurodsp 1.00 0.92 0.60 0.32, scipy 1.00 each time
#   beyond twice the frequency of the sine: neurodsp -109 -48 -43 -42 dB below the peak, scipy -109 -109 -106 -106 dB
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'neurodsp==2.3.0' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from neurodsp.spectral import compute_spectrum
from scipy.signal import welch
from scipy.signal.windows import hann

RATE, LENGTH, FREQUENCY = 500, 500, 40.25
sine = np.sqrt(2) * np.sin(2 * np.pi * FREQUENCY * np.arange(60 * RATE) / RATE)


def power_and_leakage(frequencies, spectrum):
    far = spectrum[frequencies > 2 * FREQUENCY].max()
    return spectrum.sum() * frequencies[1], 10 * np.log10(far / spectrum.max())


for nfft in (500, 1000, 2000, 4000):
    padding = {} if nfft == LENGTH else {"nfft": nfft}
    seen = power_and_leakage(*compute_spectrum(sine, RATE, nperseg=LENGTH, **padding))
    reference = power_and_leakage(*welch(sine, RATE, nperseg=LENGTH, **padding))
    window = hann(nfft, sym=False) ** 2
    start = (nfft - LENGTH) // 2
    middle = window[start : start + LENGTH].sum() / window.sum()
    print("nfft", nfft, "power and leakage", seen, "scipy", reference, "share of the window", middle)
    assert np.isclose(reference[0], 1, rtol=1e-3) and reference[1] < -100
    assert np.isclose(seen[0], middle, rtol=0.02)
    assert nfft == LENGTH and seen[1] < -100 or nfft > LENGTH and seen[1] > -60
PYTHON
