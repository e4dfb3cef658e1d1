#!/usr/bin/env bash
# EntropyHub's spectral entropy with N below twice the length depends on the direction of time, and a late burst gives NaN.
#
# N is the number of points of the FFT. SpecEn convolves the signal with itself, which gives 2 * length - 1 samples, and the FFT
# takes the first N of them. With N equal to the length, the usual choice, the rest is lost and what remains is not a power
# spectrum, which does not change when a signal is reversed or rotated. With the default N = 2 * length + 1 nothing is cut.
#
# Seen with EntropyHub 2.0, 256 samples, N = 256:
#   decaying noise 0.912, reversed 0.960 (power spectrum 0.911)    a sine of 16 periods 0.764 (one line: 0)
#   a burst of 64 samples at the start 0.919, from sample 100 on 0.941, from sample 128 on nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'EntropyHub==2.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import EntropyHub
import numpy as np

LENGTH = 256


def spectral_entropy(x, points=LENGTH):
    return EntropyHub.SpecEn(x, N=points)[0]


def by_definition(x):
    """Entropy of the power spectrum below the Nyquist frequency, divided by that of a flat one."""
    power = np.abs(np.fft.rfft(x))[: LENGTH // 2] ** 2
    shares = power / power.sum()
    shares = shares[shares > 1e-20]
    return -(shares * np.log(shares)).sum() / np.log(LENGTH // 2)


noise = np.random.default_rng(0).standard_normal(LENGTH)
decaying = noise * np.exp(-np.arange(LENGTH) / 50)
seen = {points: [spectral_entropy(x, points) for x in (decaying, decaying[::-1])] for points in (LENGTH, 2 * LENGTH + 1)}
print("decaying noise and its reverse", seen, "power spectrum", by_definition(decaying), by_definition(decaying[::-1]))
assert np.isclose(by_definition(decaying), by_definition(decaying[::-1]))
assert np.isclose(*seen[2 * LENGTH + 1])
assert seen[LENGTH][1] - seen[LENGTH][0] > 0.04

sine = np.sin(2 * np.pi * 16 / LENGTH * np.arange(LENGTH))
print("sine", spectral_entropy(sine), "power spectrum", by_definition(sine))
assert by_definition(sine) < 1e-6 and spectral_entropy(sine) > 0.75

burst = np.where(np.arange(LENGTH) < 64, noise, 0)
with np.errstate(invalid="ignore"):
    entropies = {start: spectral_entropy(np.roll(burst, start)) for start in (0, 100, 128)}
print("a burst that starts at", entropies, "power spectrum", by_definition(burst))
assert np.isclose(entropies[0], by_definition(burst))
assert entropies[100] - entropies[0] > 0.02
assert np.isnan(entropies[128])
PYTHON
