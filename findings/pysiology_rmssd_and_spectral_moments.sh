#!/usr/bin/env bash
# PySiology's RMSSD is the deviation of the squares, and its variance of the central frequency is negative.
#
# RMSSD is the root of the mean of the squared differences between neighboring intervals, in ms. getRMSSD takes the
# standard deviation of the squares, in ms². For intervals that alternate between two values it is 0. getPNN50 and
# getPNN20 count intervals that grow by more than 50 or 20 ms, not those that shrink. The spectral moment of order n
# weighs the power by f^n. getSM raises the power to n, as its documentation says, too. getVCF is documented with the
# usual moments, and analyzeEMG hands it these: what is left is the square of the mean frequency with a minus.
#
# Seen with PySiology 0.0.9.71:
#   700 and 900 ms in turn: RMSSD 0, must be 200; pNN50 0.50, must be 1
#   noise of 1000 Hz: variance of the central frequency -63263 Hz², must be 20870 Hz²
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'pysiology==0.0.9.71' 'peakutils==1.3.5' 'matplotlib==3.11.2' 'setuptools==81.0.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from pysiology.electrocardiography import getPNN50, getRMSSD, getSDNN
from pysiology.electromyography import analyzeEMG, getPSD

draw = np.random.default_rng(0)
for name, intervals in (("noise", 800 + 40 * draw.standard_normal(500)), ("in turn", np.tile([700.0, 900.0], 250))):
    peaks = np.cumsum([0, *intervals])
    differences = np.diff(intervals)
    expected = np.sqrt(np.mean(differences**2)), np.mean(np.abs(differences) > 50)
    seen = getRMSSD(peaks, 1000), getPNN50(peaks, 1000)
    print(name, "RMSSD and pNN50", seen, "by the definition", expected)
    assert np.isclose(getSDNN(peaks, 1000), intervals.std())
    assert np.isclose(seen[0], np.std(differences**2), atol=1e-6) and not 0.5 < seen[0] / expected[0] < 2
    assert np.isclose(seen[1], np.mean(differences > 50)) and seen[1] < 0.6 * expected[1]

signal = list(draw.standard_normal(5000))
power, frequencies = getPSD(signal, 1000)
mean = np.average(frequencies, weights=power)
expected = np.average((frequencies - mean) ** 2, weights=power)
found = analyzeEMG(signal, 1000, preprocessing=False)["FrequencyDomain"]
print("mean frequency", found["MNF"], "variance", found["VCF"], "by the definition", mean, expected)
assert np.isclose(found["MNF"], mean) and 15000 < expected < 25000
assert np.isclose(found["SM2"], np.sum(frequencies * power**2))
assert np.isclose(found["VCF"], -(mean**2), rtol=1e-3)
PYTHON
