#!/usr/bin/env bash
# hydroeval's nonparametric efficiency ranks equal values by their position: dry days count as a correlation.
#
# The first part of KGE_NP is Spearman's correlation, in which equal values share the mean of their ranks. kgenp takes
# the places of a sort, so that equal values have different ranks in the order of the series, or of the sort, in both
# series alike. Rain, snow and dry rivers are 0 most of the time. The forecast of one value for all days has no
# correlation, but is at 1 with flows that rise, and at -1 with flows that fall. HydroErr and scipy share the ranks.
#
# Seen with hydroeval 0.1.0:
#   two independent series of a year, rain on one day of ten: hydroeval 0.55 to 0.64, by the processor's sort;
#   scipy and HydroErr 0.0
#   always 2, against 1 to 10: hydroeval 1, scipy NaN; against 10 to 1: hydroeval -1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'hydroeval==0.1.0' 'hydroerr==2.0.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import HydroErr
import numpy as np
from hydroeval import evaluator, kgenp
from scipy.stats import spearmanr

DAYS = 365
draw = np.random.default_rng(0)
found = []
for _ in range(50):
    rain = [np.where(draw.random(DAYS) < 0.1, draw.gamma(1, 5, DAYS), 0.0) for _ in range(2)]
    found.append([evaluator(kgenp, *rain)[1, 0], spearmanr(*rain)[0], HydroErr.spearman_r(*rain)])
seen, expected, other = np.mean(found, axis=0)
print("independent rain, mean of 50: hydroeval", seen, "scipy", expected, "HydroErr", other)
assert seen > 0.3 and abs(expected) < 0.03 and np.isclose(other, expected)

x, y = draw.gamma(2, 1, (2, DAYS))
print("without ties: hydroeval", kgenp(x, y)[1, 0], "scipy", spearmanr(x, y)[0])
assert np.isclose(kgenp(x, y)[1, 0], spearmanr(x, y)[0])

rising, constant = np.arange(1.0, 11), np.full(10, 2.0)
for flows, value in ((rising, 1), (rising[::-1], -1)):
    print("always 2 against", flows, "hydroeval", kgenp(constant, flows)[1, 0], "scipy", spearmanr(constant, flows)[0])
    assert np.isclose(kgenp(constant, flows)[1, 0], value) and np.isnan(spearmanr(constant, flows)[0])
PYTHON
