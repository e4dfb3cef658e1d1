#!/usr/bin/env bash
# nitime's cross-correlations have their zero lag at -1 sample, and the normalized one is divided by the value beside it.
#
# The documentation puts the zero lag at time 0 and its normalized value at the correlation coefficient. The 2 n - 1 lags start at
# -(n - 1) samples and the time axis at -n, and the values are divided by that at lag 1. White noise is uncorrelated there, so that
# the normalized correlation of a series with itself is any number in place of 1. Below the diagonal a pair has the lags of
# the pair above it and not their negatives, so that either series comes out as the one that follows.
#
# Seen with nitime 0.12.1, 1000 samples of white noise at 1 Hz and a copy 3 s later:
#   autocorrelation: its maximum at -1 s, normalized 121   cross-correlation: both of the pair at -4 s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nitime==0.12.1' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from nitime.analysis import CorrelationAnalyzer
from nitime.timeseries import TimeSeries

LENGTH, DELAY = 1000, 3
x = np.random.default_rng(0).standard_normal(LENGTH)
pair = np.vstack([x, np.roll(x, DELAY)])
analyzer = CorrelationAnalyzer(TimeSeries(pair, sampling_rate=1.0))
correlations, normalized = analyzer.xcorr, analyzer.xcorr_norm
seconds = np.array([float(time) for time in correlations.time]) / 1e12


def lag(i, j):
    return seconds[np.argmax(correlations.data[i, j])]


print("lags of the maxima", {(i, j): lag(i, j) for i in (0, 1) for j in (0, 1)})
assert np.allclose(np.diff(seconds), 1) and len(seconds) == 2 * LENGTH - 1
assert np.isclose(correlations.data[0, 0].max(), (x**2).sum())
assert lag(0, 0) == lag(1, 1) == -1
assert lag(0, 1) == lag(1, 0) == -DELAY - 1

zero = normalized.data[0, 0][seconds == -1][0], normalized.data[0, 0][seconds == 0][0]
expected = (x**2).sum() / (x[1:] * x[:-1]).sum()
print("normalized value of the zero lag", zero[0], "and of the lag after it", zero[1], "coefficient", analyzer.corrcoef[0, 0])
assert np.isclose(analyzer.corrcoef[0, 0], 1)
assert np.isclose(zero[0], expected) and abs(zero[0]) > 30
assert np.isclose(zero[1], 1)
PYTHON
