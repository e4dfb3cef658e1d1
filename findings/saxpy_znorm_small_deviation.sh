#!/usr/bin/env bash
# saxpy scales a series only if its standard deviation is above 0.01, whatever its unit: an ECG in volts has other words than in
# millivolts.
#
# Below the threshold, which is meant for series without a shape, znorm takes the mean away and leaves the rest as it is. A series in
# volts is then next to the middle of the alphabet everywhere, and its words hardly differ.
#
# Seen with saxpy 2.0.1, a sine of 0.005 V and of 5 mV, 32 values, 8 segments, 4 letters:
#   volts      ccccbbbb, standard deviation after znorm 0.0035
#   millivolts cddcbaab, standard deviation 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'saxpy==2.0.1' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from saxpy.alphabet import cuts_for_asize
from saxpy.paa import paa
from saxpy.sax import ts_to_string
from saxpy.znorm import znorm

volts = 0.005 * np.sin(2 * np.pi * np.arange(32) / 32)
words, deviations = {}, {}
for unit, series in (("volts", volts), ("millivolts", 1000 * volts)):
    scaled = znorm(series)
    words[unit] = ts_to_string(paa(scaled, 8), cuts_for_asize(4))
    deviations[unit] = scaled.std()
    print(unit, words[unit], deviations[unit])
assert np.isclose(deviations["millivolts"], 1) and np.isclose(deviations["volts"], volts.std())
assert words == {"volts": "ccccbbbb", "millivolts": "cddcbaab"}
PYTHON
