#!/usr/bin/env bash
# permetrics's absolute error of 3 and -3 is 0, and its correlation of a sample with itself is larger than 1.
#
# AE subtracts the absolute values from each other, so an error of sign is none and other errors come out negative, although its
# table gives the range from 0 up. MAE of the same values is right. COR with sample=True divides the covariance by n - 1 but takes
# deviations by n, so it is n / (n - 1) times the coefficient of PCC; the table gives the range -1 to 1.
#
# Seen with permetrics 2.1.0:
#   truth 3 -2 1, prediction -3 2 4: AE 0 0 -3, MAE 4.33    five numbers against themselves: COR 1.25 with sample=True, PCC 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'permetrics==2.1.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from permetrics import RegressionMetric

assert RegressionMetric.get_support("AE", verbose=False)["range"] == "[0, +inf)"
truth, prediction = np.array([3.0, -2, 1]), np.array([-3.0, 2, 4])
metric = RegressionMetric(truth, prediction)
errors, mean = metric.AE(), metric.MAE()
print("AE", errors, "MAE", mean, "by numpy", np.abs(truth - prediction))
assert np.array_equal(errors, [0, 0, -3])
assert np.isclose(mean, np.abs(truth - prediction).mean()) and np.isclose(mean, 13 / 3)

assert RegressionMetric.get_support("COR", verbose=False)["range"] == "[-1, 1]"
for n in (5, 50):
    x = np.random.default_rng(n).standard_normal(n)
    y = x + 0.5 * np.random.default_rng(n + 1).standard_normal(n)
    for other in (x, y):
        metric = RegressionMetric(x, other)
        seen = metric.COR(sample=True), metric.COR(sample=False), metric.PCC()
        print(n, "numbers: COR of a sample", seen[0], "COR", seen[1], "PCC", seen[2])
        assert np.allclose(seen[1:], np.corrcoef(x, other)[0, 1])
        assert np.isclose(seen[0], np.corrcoef(x, other)[0, 1] * n / (n - 1))
PYTHON
