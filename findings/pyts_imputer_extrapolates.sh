#!/usr/bin/env bash
# pyts fills missing values at the ends of a series by going on with the last slope.
#
# Where a sensor starts late or stops early there is nothing for InterpolationImputer to interpolate between, and by default it draws the
# line through the two nearest values on for as long as values are missing. A heart rate that rises by 3 in its last step rises by 300
# in 100 missing values. numpy.interp and pandas hold the value there; strategy="nearest" and "previous" do so as well.
#
# Seen with pyts 0.14.1: nan, nan, 1, 2, 4, 7, nan, nan, nan, nan becomes -1, 0, 1, 2, 4, 7, 10, 13, 16, 19.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyts==0.14.1' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from pyts.preprocessing import InterpolationImputer

nan = np.nan
series = np.array([nan, nan, 1, 2, 4, 7, nan, nan, nan, nan])
filled = InterpolationImputer().fit_transform(series[None])[0]
known = np.flatnonzero(~np.isnan(series))
print("pyts", filled, "numpy", np.interp(np.arange(10), known, series[known]))
assert np.allclose(filled, [-1, 0, 1, 2, 4, 7, 10, 13, 16, 19])
for strategy in ("nearest", "previous"):
    held = InterpolationImputer(strategy=strategy).fit_transform(series[None])[0]
    print(strategy, held)
    assert np.allclose(held, [1, 1, 1, 2, 4, 7, 7, 7, 7, 7])

wave = np.sin(2 * np.pi * np.arange(100) / 100)
wave[50:] = nan  # it falls there
ending = InterpolationImputer().fit_transform(wave[None])[0, -1]
print("a sine of amplitude 1 whose second half is missing ends at", ending)
assert ending < -3
PYTHON
