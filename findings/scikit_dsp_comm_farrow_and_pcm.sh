#!/usr/bin/env bash
# scikit-dsp-comm's parabolic resampling is the linear one, and its PCM turns samples just below 1 to -1.
#
# The Farrow structure of order 2 is (v2 mu + v1) mu + v0. farrow_resample computes (v2 + v1) mu + v0, and v2 + v1 is
# the difference of two samples, so that alpha changes nothing either. pcm_encode rounds x 2^(n - 1) and keeps n bits
# of it, so that whatever is rounded up to 2^(n - 1) has its sign turned, where a converter stops at the largest code.
#
# Seen with scikit-dsp-comm 2.1.2, a sine of 10 samples a period resampled by 1.7, and 8 bits:
#   largest error: order 1 0.049, order 2 0.049 with any alpha, order 3 0.004; parabolas with an alpha of 0.3: 0.006
#   0.995 becomes 0.992, 0.997 becomes -1; a sine from -1 to 1 has an error of up to 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'scikit-dsp-comm==2.1.2' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sk_dsp_comm.digitalcom import farrow_resample, pcm_decode, pcm_encode

FREQUENCY, RATIO, LENGTH, BITS = 0.1, 1.7, 200, 8
x = np.sin(2 * np.pi * FREQUENCY * np.arange(LENGTH))


def parabolic(alpha):
    """The same instants, one sample late, by the parabolas of the documented reference."""
    y = []
    for n in range(len(farrow_resample(x, 1, RATIO, 2))):
        k = int(np.floor(n / RATIO))
        mu = n / RATIO - k
        before, left, right, after = (x[k + j] if 0 <= k + j < LENGTH else 0 for j in (-2, -1, 0, 1))
        v2 = alpha * (after - right - left + before)
        v1 = -alpha * after + (1 + alpha) * right + (alpha - 1) * left - alpha * before
        y.append((v2 * mu + v1) * mu + left)
    return np.array(y)


def error(y):
    truth = np.sin(2 * np.pi * FREQUENCY * (np.arange(len(y)) / RATIO - 1))
    return np.abs(y - truth)[10:-10].max()


first, third = farrow_resample(x, 1, RATIO, 1), farrow_resample(x, 1, RATIO, 3)
print("errors of orders 1 and 3", error(first), error(third))
for alpha in (0.3, 0.5):
    second, reference = farrow_resample(x, 1, RATIO, 2, alpha), parabolic(alpha)
    print("order 2, alpha", alpha, "error", error(second), "of parabolas", error(reference))
    assert np.allclose(second, first, atol=1e-12) and np.abs(second - reference).max() > 0.02
assert error(third) < error(parabolic(0.3)) < error(first) / 3

values = np.array([0.99, 0.995, 0.997, 1.0, -1.0])
decoded = pcm_decode(pcm_encode(values, BITS), BITS)
clipped = np.clip(np.rint(values * 2 ** (BITS - 1)), -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1) / 2 ** (BITS - 1)
worst = np.abs(pcm_decode(pcm_encode(x / np.abs(x).max(), BITS), BITS) - x / np.abs(x).max()).max()
print("values", values, "decoded", decoded, "with a limit", clipped, "largest error of a sine", worst)
assert np.abs(clipped - values).max() < 2 ** (1 - BITS) + 1e-12
assert np.array_equal(decoded[[0, 1, 4]], clipped[[0, 1, 4]]) and (decoded[[2, 3]] == -1).all()
assert np.isclose(worst, 2)
PYTHON
