#!/usr/bin/env bash
# Uncertainty Toolbox's quantile proportions have the wrong sign, and its recalibrated quantiles move twice as far from the truth.
#
# With prop_type="quantile" the observed proportions are promised to be those of the truth below each predicted quantile. The residual is
# prediction minus truth and is held against the quantile, so they are one minus the proportion below the opposite quantile. The
# calibration errors of a mirrored curve are the same, but a recalibrator that is fitted to it takes a bias for its opposite.
# Predictions without bias show no difference.
#
# Seen with uncertainty-toolbox 0.1.1, 5000 truths of mean 1 and deviation 1, predicted with mean 0 and deviation 1:
#   share below the predicted median: 0.84 reported, 0.16 by a count
#   recalibrated median: -1.0, with 2 % of the truth below; it must be 1.0, with 50 %
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'uncertainty-toolbox==0.1.1' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.stats import norm
from uncertainty_toolbox.metrics_calibration import get_proportion_lists, get_proportion_lists_vectorized
from uncertainty_toolbox.recalibration import get_quantile_recalibrator

LENGTH = 5000
noise = np.random.default_rng(0).standard_normal(LENGTH)
mean, deviation = np.zeros(LENGTH), np.ones(LENGTH)


def below(truth, quantile):
    return (truth <= quantile).mean()


for bias in (1, 0):
    truth = bias + noise
    for proportions in (get_proportion_lists, get_proportion_lists_vectorized):
        expected, observed = np.array(proportions(mean, deviation, truth, 11, prop_type="quantile"))
        counted = np.array([below(truth, norm.ppf(level)) for level in expected])
        print("bias", bias, "levels", expected.round(1), "reported", observed.round(2), "counted", counted.round(2))
        assert np.allclose(observed, 1 - counted[::-1], atol=0.001)
        assert (np.abs(observed - counted).max() > 0.6) == (bias == 1)
    median = get_quantile_recalibrator(mean, deviation, truth)(mean, deviation, 0.5)[0]
    print("recalibrated median", median, "share of the truth below", below(truth, median), "median of the truth", np.median(truth))
    assert np.isclose(median, -bias, atol=0.1) and np.isclose(np.median(truth), bias, atol=0.05)
    assert np.isclose(below(truth, median), norm.cdf(-2 * bias), atol=0.03)
PYTHON
