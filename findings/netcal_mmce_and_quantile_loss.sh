#!/usr/bin/env bash
# netcal's calibration error MMCE of perfect binary predictions is 0.5, and its quantile loss is not the pinball loss it documents.
#
# MMCE compares hits with the confidence in the predicted class. For predictions of two classes given as one probability, netcal
# takes that probability itself, also where it is near 0 and the predicted class is the other one. The same predictions as two
# columns give another value. QuantileLoss is documented as the pinball loss at the quantile q. What is compared is the nearer end
# of the central interval that holds q of the probability, so that a prediction costs most where its median is right.
#
# Seen with netcal 1.4.0:
#   MMCE of sure and right predictions 0.496 as one column, 0.0005 as two; of calibrated ones 0.214 and 0.007
#   a normal distribution and its own mean as the truth, q = 0.5: QuantileLoss 0.34 standard deviations, pinball loss 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'netcal==1.4.0' 'torch==2.13.0' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from netcal.metrics import ECE, MMCE, QuantileLoss
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss

generator = np.random.default_rng(0)
probability = generator.uniform(size=2000)
labels = (generator.uniform(size=2000) < probability).astype(int)
sure = np.where(labels == 1, 0.9995, 0.0005)


def mmce(predicted):
    """The formula of the documentation: hits against the confidence in the predicted class."""
    confidence = np.maximum(predicted, 1 - predicted)
    deviation = (predicted > 0.5) == labels
    deviation = deviation - confidence
    kernel = np.exp(-2.5 * np.abs(confidence[:, None] - confidence))
    return np.sqrt(deviation @ kernel @ deviation) / len(confidence)


seen = {}
for name, predicted in (("sure and right", sure), ("calibrated", probability)):
    columns = np.stack([1 - predicted, predicted], axis=1)
    seen[name] = MMCE().measure(predicted, labels), MMCE().measure(columns, labels)
    errors = ECE().measure(predicted, labels), ECE().measure(columns, labels)
    print(name, "MMCE of one column and of two", seen[name], "by the formula", mmce(predicted), "ECE", errors)
    assert np.isclose(seen[name][1], mmce(predicted)) and np.isclose(*errors)
assert seen["sure and right"][0] > 0.49 and seen["sure and right"][1] < 0.001
assert seen["calibrated"][0] > 20 * seen["calibrated"][1]

mean, deviation = generator.standard_normal(500), np.full(500, 2.0)
upper_quartile = norm.ppf(0.75, mean, deviation)
for name, truth, expected in (("median", mean, norm.ppf(0.75)), ("upper quartile", upper_quartile, 0)):
    loss = QuantileLoss().measure((mean, deviation), truth, np.array([0.5]))
    pinball = mean_pinball_loss(truth, mean, alpha=0.5)
    print("truth at the", name, "QuantileLoss", loss / 2, "pinball loss", pinball / 2, "in standard deviations")
    assert np.isclose(loss, 0.5 * 2 * expected)
    assert np.isclose(pinball, 0.5 * 2 * (norm.ppf(0.75) - expected))
PYTHON
