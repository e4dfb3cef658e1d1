#!/usr/bin/env bash
# SkillMetrics divides the squared error of a grid by its rows alone, and its Brier score fails for all valid input.
#
# rmsd divides by the length of the array, which for a map is its number of rows: the error is too large by the root of
# the number of columns, and Murphy's skill score, which uses it, is far below 0 for a good forecast.
# centered_rms_dev and target_statistics divide by all values. bias_percent is documented with the sign of the bias,
# and returns its absolute value. check_taylor_stats overlooks wrong statistics where only the first model has them.
# brier_score asks whether an empty list of bad values is above 0, which NumPy 2.2 turned into an error.
#
# Seen with SkillMetrics 1.2.5 and NumPy 2.4.6, a grid of 20 by 30 with an error of 0.1:
#   rmsd 0.525, flattened 0.096; Murphy's skill -2.35, flattened 0.89    8 for 10: bias -2, in percent 20
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'skillmetrics==1.2.5' 'matplotlib==3.11.2' 'pandas==2.3.3' 'numpy==2.4.6'
cd "$folder"
MPLBACKEND=agg venv/bin/python - <<'PYTHON'
import numpy as np
import skill_metrics

ROWS, COLUMNS = 20, 30
draw = np.random.default_rng(0)
truth = draw.random((ROWS, COLUMNS))
forecast = truth + 0.1 * draw.standard_normal((ROWS, COLUMNS))
for name in ("rmsd", "skill_score_murphy", "centered_rms_dev"):
    function = getattr(skill_metrics, name)
    print(name, "grid", function(forecast, truth), "flattened", function(forecast.ravel(), truth.ravel()))
expected = np.sqrt(np.mean((forecast - truth) ** 2))
assert np.isclose(skill_metrics.rmsd(forecast.ravel(), truth.ravel()), expected)
assert np.isclose(skill_metrics.target_statistics(forecast, truth)["rmsd"], expected)
assert np.isclose(skill_metrics.rmsd(forecast, truth), expected * COLUMNS**0.5)
assert skill_metrics.skill_score_murphy(forecast.ravel(), truth.ravel()) > 0.8
assert skill_metrics.skill_score_murphy(forecast, truth) < -2

low, reference = np.full(5, 8.0), np.full(5, 10.0)
print("bias", skill_metrics.bias(low, reference), "in percent", skill_metrics.bias_percent(low, reference))
assert skill_metrics.bias(low, reference) == -2 and skill_metrics.bias_percent(low, reference) == 20

deviations, correlations = np.array([1.0, 2.0, 1.5]), np.array([1.0, 0.5, 0.8])
errors = np.sqrt(deviations**2 + deviations[0] ** 2 - 2 * deviations * deviations[0] * correlations)
for wrong in (1, 2):
    doubled = errors * np.where(np.arange(3) == wrong, 2, 1)
    try:
        print("model", wrong, "wrong by", skill_metrics.check_taylor_stats(deviations, doubled, correlations))
        assert wrong == 1
    except ValueError as error:
        print("model", wrong, "raises:", str(error).splitlines()[0])
        assert wrong == 2

try:
    print("Brier score", skill_metrics.brier_score(np.array([0.2, 0.8]), np.array([0, 1])))
except ValueError as error:
    print("Brier score raises:", error)
else:
    raise SystemExit("the Brier score works")
PYTHON
