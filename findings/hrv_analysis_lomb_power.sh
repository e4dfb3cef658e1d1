#!/usr/bin/env bash
# hrv-analysis's power by Lomb's method is divided by the mean interval: half of the variance at 60 beats a minute.
#
# The power in a band is documented as a variance, for both methods. astropy's normalization "psd" is a sum of squares
# over the number of samples, without their distance in time, and counts one side of the frequencies alone. Its
# integral over frequencies in Hz is therefore the variance divided by twice the mean interval in seconds, and depends
# on the heart rate. Two people with the same variance get other powers.
#
# Seen with hrv-analysis 1.0.6, an oscillation of ±50 ms at 0.1 Hz, so that the low frequency power is 1250 ms²:
#   mean interval 600 ms: welch 1220, lomb 1040    800 ms: welch 1198, lomb 780    1000 ms: welch 1170, lomb 624
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nolds==0.6.2' 'astropy==7.2.0' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==3.1.1' 'matplotlib==3.11.2' \
    'setuptools==80.9.0'
# It asks for nolds 0.6.3, which Python 3.11 cannot import; what is shown here does not use nolds.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'hrv-analysis==1.0.6'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from hrvanalysis import get_frequency_domain_features

AMPLITUDE, FREQUENCY, BEATS = 50, 0.1, 600


def oscillation(mean):
    intervals, time = [], 0
    for _ in range(BEATS):
        intervals.append(mean + AMPLITUDE * np.sin(2 * np.pi * FREQUENCY * time))
        time += intervals[-1] / 1000
    return intervals


for mean in (600, 800, 1000):
    intervals = oscillation(mean)
    variance = np.var(intervals)
    welch, lomb = (get_frequency_domain_features(intervals, method=method)["lf"] for method in ("welch", "lomb"))
    print("mean interval", mean, "ms, variance", variance, "welch", welch, "lomb", lomb)
    assert np.isclose(variance, AMPLITUDE**2 / 2, rtol=0.02)
    assert np.isclose(welch, variance, rtol=0.08)
    assert np.isclose(lomb, variance / (2 * mean / 1000), rtol=0.03)
PYTHON
