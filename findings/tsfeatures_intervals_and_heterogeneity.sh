#!/usr/bin/env bash
# tsfeatures' intervals overwrites the series for the features behind it, and its heterogeneity is always missing.
#
# The features are functions in a list. intervals writes 1 over each positive value of the array that all of them get,
# so that what comes after it describes zeros and ones. heterogeneity fits statsmodels' AR, which statsmodels 0.13
# replaced by AutoReg and left as a class that only raises. tsfeatures asks for statsmodels 0.13.2 at least, catches
# the error and gives NaN for every series. pandas 3 hands out arrays that cannot be written, where intervals raises.
#
# Seen with tsfeatures 0.4.5, statsmodels 0.15.0 and pandas 2.3.3, 200 days of demand:
#   features statistics, intervals: mean 1.14, maximum 8    intervals, statistics: mean 0.265, maximum 1
#   heterogeneity of noise with a changing variance: NaN four times; by AutoReg arch_acf 0.63 and arch_r2 0.47
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tsfeatures==0.4.5' 'statsmodels==0.15.0' 'arch==8.0.0' 'antropy==0.2.3' 'supersmoother==0.4' \
    'scikit-learn==1.9.1' 'pandas==2.3.3' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
cat > demo.py <<'PYTHON'
from importlib.metadata import requires

import numpy as np
import pandas as pd
from statsmodels.tsa.ar_model import AR, AutoReg
from statsmodels.tsa.stattools import acf
from tsfeatures import heterogeneity, intervals, statistics, tsfeatures

DAYS = 200


def demand():
    draw = np.random.default_rng(0)
    values = np.where(draw.random(DAYS) < 0.3, draw.integers(1, 9, DAYS), 0).astype(float)
    return pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2026-01-01", periods=DAYS), "y": values})


def main():
    series = demand()["y"]
    seen = {}
    for features in ([statistics, intervals], [intervals, statistics]):
        table = tsfeatures(demand(), freq=7, features=features, scale=False, threads=1)
        seen[features[0].__name__] = table["mean"][0], table["max"][0]
        print([feature.__name__ for feature in features], "mean and maximum", seen[features[0].__name__])
    print("by pandas", series.mean(), series.max())
    assert np.allclose(seen["statistics"], (series.mean(), series.max())) and series.max() == 8
    assert np.allclose(seen["intervals"], ((series > 0).mean(), 1))

    draw = np.random.default_rng(0)
    x, deviation = np.zeros(1000), 1.0
    for n in range(len(x)):
        x[n] = deviation * draw.standard_normal()
        deviation = np.sqrt(0.3 + 0.7 * x[n] ** 2)
    found = heterogeneity(x)
    squares = AutoReg(x, lags=1).fit().resid ** 2
    rows = np.lib.stride_tricks.sliding_window_view(squares - squares.mean(), 13)
    design = np.column_stack([rows[:, :-1], np.ones(len(rows))])
    rest = rows[:, -1] - design @ np.linalg.lstsq(design, rows[:, -1])[0]
    r2 = 1 - (rest @ rest) / (rows[:, -1] - rows[:, -1].mean()).var() / len(rest)
    print("heterogeneity", found, "by AutoReg arch_acf", (acf(squares, nlags=12)[1:] ** 2).sum(), "arch_r2", r2)
    print([line for line in requires("tsfeatures") if "statsmodels" in line])
    assert len(found) == 4 and np.isnan(list(found.values())).all()
    assert 0.1 < (acf(squares, nlags=12)[1:] ** 2).sum() < 2 and 0.1 < r2 < 0.6
    try:
        AR(x)
    except NotImplementedError as error:
        print("AR:", str(error).strip().splitlines()[0])
    else:
        raise SystemExit("statsmodels has AR again")


if __name__ == "__main__":
    main()
PYTHON
venv/bin/python demo.py
