#!/usr/bin/env bash
# nitime's boxcar filter smooths once, however many rounds n_iterations asks for.
#
# Every round starts from the padded signal again and its result takes the place of the one before. The documentation calls
# n_iterations the rounds of smoothing, two by default, since one boxcar alone is a poor low-pass filter: its first sidelobe passes
# more than a fifth of the amplitude, and two rounds pass a twentieth. FilterAnalyzer hands its boxcar_iterations to this function.
#
# Seen with nitime 0.12.1, a boxcar of 11 samples and a sine in its first sidelobe, amplitude that is left:
#   1, 2 and 10 rounds of nitime 0.223   two rounds of numpy.convolve 0.050
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
from nitime.analysis import FilterAnalyzer
from nitime.timeseries import TimeSeries

BOX, LENGTH = 11, 4400
CUTOFF = 1 / (2 * BOX)
sine = np.sin(2 * np.pi * 1.43 / BOX * np.arange(LENGTH))
inner = slice(1000, -1000)


def amplitude(x):
    return np.abs(x[inner]).max()


expected = {}
smooth = sine
for rounds in (1, 2):
    smooth = np.convolve(smooth, np.ones(BOX) / BOX, mode="same")
    expected[rounds] = amplitude(smooth)
seen = {n: nitime.algorithms.boxcar_filter(sine.copy(), ub=CUTOFF, n_iterations=n) for n in (1, 2, 10)}
print("nitime", {rounds: amplitude(x) for rounds, x in seen.items()}, "numpy", expected)
assert np.isclose(amplitude(seen[1]), expected[1], rtol=1e-3)
assert np.array_equal(seen[1], seen[2]) and np.array_equal(seen[1], seen[10])
assert expected[2] < 0.25 * expected[1]

series = TimeSeries(sine, sampling_rate=1.0)
analyzed = [FilterAnalyzer(series, ub=CUTOFF, boxcar_iterations=n).filtered_boxcar.data for n in (1, 10)]
assert np.array_equal(*analyzed)
PYTHON
