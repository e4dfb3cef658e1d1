#!/usr/bin/env bash
# neurodsp's multitaper spectrum is fs / 2 times a power spectral density, and its medfilt spectrum a third of one.
#
# All methods of compute_spectrum are documented to give the power spectral density. That of white noise with a
# variance of 1, which is one-sided, is 2 / fs at each frequency, and its integral is 1. The multitaper method neither
# divides by the sampling rate nor doubles for the negative frequencies. The medfilt method does not double either,
# and the median over neighbouring frequencies, of squares that are distributed exponentially, is ln 2 of their mean.
# Only Welch's method can be compared between recordings of two rates.
#
# Seen with neurodsp 2.3.0, the integral over white noise of variance 1:
#   fs = 500: welch 0.99, medfilt 0.35, multitaper 248    fs = 2000: welch 1.01, medfilt 0.35, multitaper 1003
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

SECONDS = 60
rng = np.random.default_rng(0)
for rate in (500, 2000):
    noise = rng.standard_normal(SECONDS * rate)
    # The reference: squares of a Fourier transform, whose sum is the sum of the squares of the samples.
    squares = np.abs(np.fft.rfft(noise)) ** 2 / (rate * len(noise))
    squares[1:-1] *= 2
    assert np.isclose(squares.sum() * rate / len(noise), np.mean(noise**2))

    integrals = {}
    for method in ("welch", "medfilt", "multitaper"):
        frequencies, spectrum = compute_spectrum(noise, rate, method=method)
        integrals[method] = spectrum.sum() * (frequencies[1] - frequencies[0])
    print(rate, "Hz, variance", noise.var(), "integrals", integrals)
    assert np.isclose(integrals["welch"], noise.var(), rtol=0.03)
    assert np.isclose(integrals["medfilt"], np.log(2) / 2 * noise.var(), rtol=0.03)
    assert np.isclose(integrals["multitaper"], rate / 2 * noise.var(), rtol=0.03)
PYTHON
