#!/usr/bin/env bash
# tsfel's twelve linear prediction cepstral coefficients hold seven: the rest repeats them backwards, and none has a sign.
#
# The cepstrum comes from a transform of just as many points as there are prediction coefficients. The logarithm of a power spectrum
# has an even inverse transform, so coefficient 12 equals 2, 11 equals 3 and so on. What lies beyond is folded onto the kept ones,
# and the absolute value makes a series with poles at 0.9 and one with poles at -0.9 look alike. The page that the documentation
# names as the method gives a recursion without any of this.
#
# Seen with tsfel 0.2.0, 5000 samples of an autoregressive series of order 1:
#   coefficients 1 to 11 at 0.9    0.96  0.49  0.29 ... 0.29 0.49 0.96; by the recursion  0.90  0.41  0.25 ...
#   coefficients 1 to 11 at -0.9   0.97  0.50  0.33 ... 0.33 0.50 0.97; by the recursion -0.90  0.41 -0.24 ...
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
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

COUNT = 12


def cepstrum(x):
    """The coefficients from 1 of the all-pole model of order COUNT - 1, by the recursion over its predictor."""
    r = np.array([x[lag:] @ x[: len(x) - lag] for lag in range(COUNT)])
    predictor = solve_toeplitz(r[:-1], r[1:])
    c = np.zeros(COUNT)
    for m in range(1, COUNT):
        c[m] = predictor[m - 1] + sum(k / m * c[k] * predictor[m - k - 1] for k in range(1, m))
    return c[1:]


for pole in (0.9, -0.9):
    x = lfilter([1], [1, -pole], np.random.default_rng(0).standard_normal(5000))
    seen, expected = np.array(tsfel.lpcc(x, COUNT)), cepstrum(x)
    closed_form = pole ** np.arange(1, 4) / np.arange(1, 4)
    print("pole", pole, "tsfel", seen.round(3), "recursion", expected.round(3), "closed form", closed_form.round(3))
    assert np.allclose(expected[:3], closed_form, atol=0.05)
    assert len(seen) == COUNT and np.allclose(seen[1:], seen[:0:-1])
    assert (seen >= 0).all() and (np.sign(expected[0]) == np.sign(pole))
    assert abs(seen[1]) - abs(expected[0]) > 0.04 and abs(seen[11]) - abs(expected[10]) > 0.8
PYTHON
