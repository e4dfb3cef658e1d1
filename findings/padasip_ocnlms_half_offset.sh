#!/usr/bin/env bash
# padasip's OCNLMS filter takes half of the offset off its input, and learns no more than NLMS without centering.
#
# The filter is to subtract the means of the last mem inputs and targets. Its memory moves on by one place whenever it
# is read, and each sample reads it twice, for the prediction and for the update. Every other place stays zero, and
# counts. With half of the offset left over, the filter learns the sum of its weights alone.
#
# Seen with padasip 1.2.2, the system of its documentation (offset 121, weights 2.0 0.1 -4.0 0.5, noise 0.1):
#   50 of 100 places in the memory are zero, the mean that is taken off is 61
#   OCNLMS: weights of -0.3 to -0.4, mean absolute error 3.7    NLMS: -0.35 to -0.37, 3.7
#   the same rule with the means of the last 100: 2.00 0.10 -4.00 0.50, 0.08
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'padasip==1.2.2' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import padasip

SAMPLES, OFFSET, MEMORY, STEP = 2000, 121, 100, 0.1
rng = np.random.default_rng(0)
weights = np.array([2, 0.1, -4, 0.5])
x = rng.standard_normal((SAMPLES, 4)) + OFFSET
d = x @ weights + 0.1 * rng.standard_normal(SAMPLES)


def centered(d, x):
    """NLMS of what is left of the input and the target without the means of the last samples."""
    w, errors = np.zeros(4), np.zeros(SAMPLES)
    for k in range(1, SAMPLES):
        last = slice(max(0, k - MEMORY), k)
        u = x[k] - x[last].mean(axis=0)
        errors[k] = d[k] - d[last].mean() - w @ u
        w = w + STEP * errors[k] * u / (1 + u @ u)
    return errors, w


def late(errors):
    return np.abs(errors[-SAMPLES // 4 :]).mean()


ocnlms = padasip.filters.FilterOCNLMS(n=4, mu=STEP, w="zeros", mem=MEMORY)
_, errors, _ = ocnlms.run(d, x)
empty = (ocnlms.mem_x == 0).all(axis=1).sum()
taken_off = ocnlms.mem_x.mean()
print("OCNLMS", ocnlms.w, "error", late(errors), "empty places", empty, "mean of the memory", taken_off)
assert empty == MEMORY / 2 and np.isclose(taken_off, OFFSET / 2, rtol=0.01)
assert late(errors) > 2 and np.abs(ocnlms.w - weights).max() > 2

nlms = padasip.filters.FilterNLMS(n=4, mu=STEP, w="zeros", eps=1.0)
_, uncentered, _ = nlms.run(d, x)
print("NLMS", nlms.w, "error", late(uncentered))
assert np.isclose(late(errors), late(uncentered), rtol=0.1)

reference, learned = centered(d, x)
print("means of the last", MEMORY, learned, "error", late(reference))
assert late(reference) < 0.15 and np.allclose(learned, weights, atol=0.05)
PYTHON
