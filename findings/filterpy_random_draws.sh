#!/usr/bin/env bash
# filterpy's residual resampling may never draw a particle that holds a quarter of the weight, and its Student's t is too narrow.
#
# Residual resampling takes int(N w) copies of each particle and draws the rest by what is left over of N w. filterpy takes the copies
# off w in place of N w. Differences below zero then pass for probabilities, so particles without a copy get none later either,
# where each must get N w copies on average. rand_student_t doubles the chi-square variable below its root, which leaves half of
# the variance: neither that of Student's distribution nor that of the standard deviation that is asked for.
#
# Seen with filterpy 2.0.0:
#   weights 0.40 0.35 0.25: 1.60 1.40 0 copies on average, must be 1.20 1.05 0.75; systematic_resample has them right
#   rand_student_t(5): variance 0.83; that of the distribution is 1.67, that of a standard deviation of 1 is 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'filterpy==2.0.0' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import random

import numpy as np
from filterpy.monte_carlo import residual_resample, systematic_resample
from filterpy.stats import rand_student_t
from scipy.stats import kstest, t

DRAWS = 5000
np.random.seed(0)
random.seed(0)


def copies(resample, weights):
    counts = np.zeros(len(weights))
    for _ in range(DRAWS):
        counts += np.bincount(resample(weights.copy()), minlength=len(weights))
    return counts / DRAWS


weights = np.array([0.40, 0.35, 0.25])
residual, systematic = copies(residual_resample, weights), copies(systematic_resample, weights)
print("copies by residual", residual, "systematic", systematic, "expected", 3 * weights)
assert np.allclose(systematic, 3 * weights, atol=0.05)
assert residual[2] == 0 and np.allclose(residual[:2], [1.6, 1.4], atol=0.05)

DEGREES = 5
sample = np.array([rand_student_t(DEGREES) for _ in range(20 * DRAWS)])
distances = [kstest(sample, t(DEGREES, scale=scale).cdf).statistic for scale in (1, np.sqrt(0.5), np.sqrt(0.6))]
print("variance", sample.var(), "of Student's", t(DEGREES).var(), "distance to Student's, narrowed, of deviation 1", distances)
assert np.isclose(t(DEGREES).var(), 5 / 3) and np.isclose(t(DEGREES, scale=np.sqrt(0.6)).var(), 1)
assert np.isclose(sample.var(), 5 / 6, atol=0.05)
assert distances[1] < 0.006 and distances[0] > 0.05 and distances[2] > 0.01
PYTHON
