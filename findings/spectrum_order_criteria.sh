#!/usr/bin/env bash
# spectrum's AIC and MDL of eigenvalues choose the largest order once there is enough data, for any number of signals.
#
# The criterion of Wax and Kailath, which the documentation names, holds the geometric against the arithmetic mean of the n - k smallest
# eigenvalues; equal ones give a ratio of 1. spectrum leaves the largest of them out and still divides by n - k, so that equal ones
# give a ratio above 1 and the criterion falls with each k, in proportion to the samples. With few samples the minimum is one
# below the number of signals, to which `eigen`, `pmusic` and `pev` add 1; with more it is at the end.
#
# Seen with spectrum 0.10.0, ten eigenvalues, those of 1, 2 or 3 signals 20 and the others 1, as by the model; both criteria:
#   64 samples 0 1 2, 1000 samples 8 8 8; by the formula 1 2 3 for either
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'spectrum==0.10.0' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from spectrum import aic_eigen, mdl_eigen

COUNT = 10


def by_formula(eigenvalues, samples, penalty):
    """Minus the log likelihood of k signals in white noise, by Wax and Kailath (1985), plus the penalty of its parameters."""
    values = []
    for k in range(COUNT):
        noise = eigenvalues[k:]
        ratio = np.log(noise).mean() - np.log(noise.mean())
        values.append(-len(noise) * samples * ratio + penalty * k * (2 * COUNT - k))
    return int(np.argmin(values))


def orders(eigenvalues, samples):
    seen = [int(np.argmin(criterion(eigenvalues, samples))) for criterion in (aic_eigen, mdl_eigen)]
    expected = [by_formula(eigenvalues, samples, penalty) for penalty in (1.0, 0.5 * np.log(samples))]
    print(samples, "samples: spectrum", seen, "by the formula", expected)
    return seen, expected


for signals in (1, 2, 3):
    eigenvalues = np.array([20.0] * signals + [1.0] * (COUNT - signals))
    assert orders(eigenvalues, 64) == ([signals - 1] * 2, [signals] * 2)
    assert orders(eigenvalues, 1000) == ([COUNT - 2] * 2, [signals] * 2)

# The same with eigenvalues of a covariance of data, which are never quite equal.
rng = np.random.default_rng(0)
for signals in (1, 2, 3):
    mixing = np.linalg.qr(rng.standard_normal((COUNT, signals)))[0]
    X = 4 * mixing @ rng.standard_normal((signals, 2000)) + rng.standard_normal((COUNT, 2000))
    seen, expected = orders(np.linalg.eigvalsh(X @ X.T / 2000)[::-1], 2000)
    assert seen == [COUNT - 2] * 2 and expected[1] == signals
PYTHON
