#!/usr/bin/env bash
# tftb's fmpar returns a signal and a frequency law that have nothing in common but the first frequency.
#
# The phase of the law a0 + a1 t + a2 t² is its integral, a0 t + a1 t² / 2 + a2 t³ / 3. fmpar squares and cubes the
# whole terms, (a1 t / 2)² and (a2 t / 3)³, so that the signs and most of the size of a1 and a2 are lost. The signals
# of fmlin and fmsin follow the laws that they come with.
#
# Seen with tftb 0.2.0, the example of its documentation (0.4, -0.0112, 8.6806e-05), a dip from 0.4 to 0.04 and back:
#   at sample 64: law 0.039, signal 0.404; over all samples the signal has 0.400 to 0.408
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tftb==0.2.0' 'numpy==1.26.4' 'scipy==1.15.3' 'matplotlib==3.10.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from tftb.generators import fmlin, fmpar, fmsin

LENGTH, COEFFICIENTS = 128, (0.4, -0.0112, 8.6806e-05)


def frequency(x):
    """Between two samples each, the change of the phase in turns."""
    return np.angle(x[1:] * np.conj(x[:-1])) / (2 * np.pi) % 1


def difference(x, law):
    return np.abs(frequency(x) - (law[1:] + law[:-1]) / 2).max()


x, law = fmpar(LENGTH, COEFFICIENTS)
a0, a1, a2 = COEFFICIENTS
t = np.arange(LENGTH)
correct = np.exp(2j * np.pi * (a0 * t + a1 * t**2 / 2 + a2 * t**3 / 3))
print("law", law.min(), "to", law.max(), "at 64", law[64], "signal at 64", frequency(x)[64])
print("signal", frequency(x).min(), "to", frequency(x).max())
print("differences", difference(x, law), "with the integral", difference(correct, law))
print("fmlin and fmsin", difference(*fmlin(LENGTH, 0.05, 0.3)), difference(*fmsin(LENGTH)))
assert np.allclose(law, a0 + a1 * t + a2 * t**2) and law.min() < 0.05
assert difference(correct, law) < 1e-4
assert difference(x, law) > 0.36 and np.ptp(frequency(x)) < 0.01
assert difference(*fmlin(LENGTH, 0.05, 0.3)) < 1e-4 and difference(*fmsin(LENGTH)) < 1e-4
PYTHON
