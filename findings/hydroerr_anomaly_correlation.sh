#!/usr/bin/env bash
# HydroErr's anomaly correlation of a series with itself is (n - 1) / n, and its spectral divergence grows with n.
#
# acc is documented from -1 to 1. It divides the sum of n products by n and by two deviations that divide by n - 1.
# The correlation of five values with themselves is 0.8. sid, the spectral information divergence, is documented as an
# angle between -π/2 and π/2. It has no such bound. The definition divides each series by its sum, this one by its
# mean, so that a series repeated three times has three times the divergence, and it takes decimal logarithms. Both
# formulas are in the documentation, the logarithm without a base.
#
# Seen with HydroErr 2.0.0:
#   acc of n values with themselves: n 5 0.80, 10 0.90, 100 0.99
#   sid of ten values 1.66, repeated three times 4.99; the sum of both Kullback-Leibler divergences 0.38
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'hydroerr==2.0.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from HydroErr import acc, pearson_r, sid
from scipy.stats import entropy

draw = np.random.default_rng(0)
for n in (5, 10, 100):
    x = draw.random(n)
    print("acc of", n, "values with themselves", acc(x, x), "Pearson's", pearson_r(x, x))
    assert np.isclose(acc(x, x), (n - 1) / n) and np.isclose(pearson_r(x, x), 1)
    assert np.isclose(acc(x, -x), -(n - 1) / n)

x, y = draw.gamma(2, 1, (2, 10))
for times in (1, 3):
    a, b = np.tile(x, times), np.tile(y, times)
    expected = entropy(a, b) + entropy(b, a)
    print("sid, repeated", times, "times", sid(a, b), "by the definition", expected)
    assert np.isclose(sid(a, b), expected * len(a) / np.log(10))
    assert np.isclose(expected, entropy(x, y) + entropy(y, x))
assert sid(a, b) > np.pi / 2
PYTHON
