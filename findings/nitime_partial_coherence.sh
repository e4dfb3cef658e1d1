#!/usr/bin/env bash
# nitime's partial coherence of two series that follow a third is above 100 where both are late, and depends on the order of series.
#
# It is a share from 0 to 1, that of the coherence which the common cause does not explain. Its formula takes the coherency of the
# cause with the second series. nitime hands over that of the second series with the cause, whose phase has the other sign; where
# the second series is not late, that makes no difference. CoherenceAnalyzer also reads from the half of a matrix that is never
# filled, so that it gives the plain coherence where the cause stands first, and values above 1 where it stands between.
#
# Seen with nitime 0.12.1, noise and two copies of it 2 samples later, each with noise of its own, mean over frequency:
#   by the formula 0.017   coherence_partial 177   CoherenceAnalyzer 177, 0.84 or 8.8 with the cause last, first or second
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nitime==0.12.1' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import nitime.algorithms
import numpy as np
import scipy.signal
from nitime.analysis import CoherenceAnalyzer
from nitime.timeseries import TimeSeries

LENGTH, WINDOW = 2**15, 64
generator = np.random.default_rng(0)
cause = generator.standard_normal(LENGTH)


def follower(delay):
    return np.roll(cause, delay) + 0.3 * generator.standard_normal(LENGTH)


def by_formula(x, y):
    """Partial coherence of x and y without the common cause, from the cross spectra of scipy."""

    def spectrum(first, second):
        return scipy.signal.csd(first, second, nperseg=WINDOW, detrend=False)[1]

    def coherency(first, second):
        return spectrum(first, second) / np.sqrt(spectrum(first, first).real * spectrum(second, second).real)

    with_x, with_y = coherency(x, cause), coherency(cause, y)
    return np.abs(coherency(x, y) - with_x * with_y) ** 2 / ((1 - np.abs(with_x) ** 2) * (1 - np.abs(with_y) ** 2))


def by_analyzer(*series):
    """Partial coherence of the first two series without the third, and the one that has the cause at the place of the third."""
    return CoherenceAnalyzer(TimeSeries(np.vstack(series), sampling_rate=1.0)).coherence_partial


for delays in ((2, 0), (2, 2)):
    x, y = (follower(delay) for delay in delays)
    expected = by_formula(x, y).mean()
    by_function = nitime.algorithms.coherence_partial(np.vstack([x, y]), cause, {"this_method": "welch", "NFFT": WINDOW})[1]
    by_function = np.abs(by_function[0, 1]).mean()
    plain = nitime.algorithms.coherence(np.vstack([x, y]), {"this_method": "welch", "NFFT": WINDOW})[1][0, 1].mean()
    last, first, second = by_analyzer(x, y, cause)[0, 1, 2], by_analyzer(cause, x, y)[1, 2, 0], by_analyzer(x, cause, y)[0, 2, 1]
    last, first, second = last.mean(), first.mean(), second.mean()
    print("delays", delays, "by the formula", expected, "function", by_function, "analyzer", last, first, second, "plain", plain)
    assert expected < 0.02
    assert np.isclose(by_function, last)
    assert np.isclose(first, plain) and plain > 0.8
    assert second > 1
    assert by_function > 100 if delays == (2, 2) else by_function < 0.05
PYTHON
