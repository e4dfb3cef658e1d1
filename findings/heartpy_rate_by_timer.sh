#!/usr/bin/env bash
# heartpy's sampling rate from a timer counts the samples, not the steps between them.
#
# get_samplerate_mstimer divides the number of samples by the time from the first to the last, in which there is one step fewer. Of
# n samples the rate is n / (n - 1) times too high: little for a long recording, and a tenth for a window of eleven samples. Beats per
# minute that are computed with it are too high by as much. get_samplerate_datetime does the same.
#
# Seen with heartpy 1.2.7, a timer that goes on by 10 ms (100 Hz):
#   11 samples 110.0   101 samples 101.0   1001 samples 100.1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'heartpy==1.2.7' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import datetime

import heartpy
import numpy as np

for count, expected in ((11, 110.0), (101, 101.0), (1001, 100.1)):
    timer = 10.0 * np.arange(count)
    rate = heartpy.get_samplerate_mstimer(timer)
    print(count, "samples:", rate, "by the steps:", 1000 / np.diff(timer).mean())
    assert np.isclose(rate, expected) and np.isclose(1000 / np.diff(timer).mean(), 100)

start = datetime.datetime(2020, 1, 1, 12)
clock = [(start + datetime.timedelta(milliseconds=10 * i)).strftime("%H:%M:%S.%f") for i in range(11)]
rate = heartpy.get_samplerate_datetime(clock, timeformat="%H:%M:%S.%f")
print("by the clock, 11 samples:", rate)
assert np.isclose(rate, 110)
PYTHON
