#!/usr/bin/env bash
# endaq's resultant in frequency bands is the sum of the axes, not the root of their squares, and it edits the input.
#
# shock_vibe_metrics documents the resultant as the root of the sum of squares of the columns, for each metric. That is
# so over all frequencies. In the bands the RMS values of the axes are added, so that one band can hold more than the
# whole. The offset, by default the median, is subtracted from the caller's table in place: with an accelerometer,
# gravity is gone from the data afterwards.
#
# Seen with endaq 1.5.3, sines of 3 g and 4 g at 100 Hz on two axes, the first with an offset of 1 g:
#   resultant RMS 3.54 g in all, and 4.95 g from 50 to 150 Hz    mean of the first axis 1 before, 0 after the call
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'endaq==1.5.3' 'idelib==3.4.0' 'ebmlite==3.4.1' 'plotly==7.1.0' 'pint==0.25.3' 'pandas==2.3.3' 'numpy==2.4.6' \
    'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import pandas as pd
from endaq.calc.stats import shock_vibe_metrics

t = np.arange(4000) / 1000
sine = np.sin(2 * np.pi * 100 * t)
table = pd.DataFrame({"X": 3 * sine + 1, "Y": 4 * sine}, index=t)
before = table.copy()
found = shock_vibe_metrics(
    table, include_resultant=True, include_integration=False, tukey_percent=0.0, freq_splits=(0, 50, 150, None)
)
rms = found[found["calculation"].str.startswith("RMS")].set_index(["calculation", "variable"])["value"]
print(rms.to_string())
whole, band = rms["RMS Acceleration"], rms["RMS from 50 to 150"]
for axis, amplitude in (("X", 3), ("Y", 4), ("Resultant", 5)):
    assert np.isclose(whole[axis], amplitude / 2**0.5)
assert np.isclose(band["X"], whole["X"]) and np.isclose(band["Y"], whole["Y"])
assert np.isclose(band["Resultant"], 7 / 2**0.5)

print("means before", before.mean().to_dict(), "after", table.mean().to_dict())
assert np.isclose(before["X"].mean(), 1) and np.allclose(table["X"], before["X"] - before["X"].median())
assert abs(table["X"].mean()) < 1e-6
PYTHON
