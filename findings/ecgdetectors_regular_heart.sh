#!/usr/bin/env bash
# py-ecg-detectors: the beats of a heart that is regular to the sample are found up to 0.1 s apart from one another.
#
# Its README says that causal filters delay the detections. A constant delay would not change the time from beat to
# beat. But those of pan_tompkins_detector and swt_detector jump from beat to beat, and RMSSD, a measure of heart rate
# variability (20 to 50 ms in healthy adults), is that of the detector. hamilton_detector finds more beats than there
# are, with a T wave of a quarter of the R wave's height.
#
# Seen with py-ecg-detectors 1.3.5, 60 beats each 0.8 s, with noise of 0.005 of an R wave, two draws:
#   500 Hz: pan_tompkins_detector RMSSD 30 and 36 ms, swt_detector 74 and 71 ms
#   500 Hz: two_average_detector and engzee_detector 0 to 1 ms
#   360 Hz: hamilton_detector finds 78 and 79 beats
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'py-ecg-detectors==1.3.5' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from ecgdetectors import Detectors

BEATS, SECONDS = 60, 0.8
# P, Q, R, S and T: height, seconds after R, width in seconds
WAVES = [(0.12, -0.18, 0.025), (-0.1, -0.03, 0.008), (1, 0, 0.011), (-0.2, 0.03, 0.009), (0.25, 0.28, 0.05)]


def ecg(rate, seed):
    time = np.arange(int(BEATS * SECONDS * rate)) / rate
    after = (time[:, None] - (np.arange(BEATS) + 0.5) * SECONDS)[..., None]
    height, at, width = np.array(WAVES).T
    waves = (height * np.exp(-(((after - at) / width) ** 2) / 2)).sum((1, 2))
    return waves + 0.005 * np.random.default_rng(seed).standard_normal(len(time))


def rmssd(rate, name, seed):
    found = np.array(getattr(Detectors(rate), name)(ecg(rate, seed)))
    between = np.diff(found)[3:-3] * 1000 / rate
    assert abs(len(found) - BEATS) <= 2, (name, len(found))
    return round(float(np.sqrt((np.diff(between) ** 2).mean())), 1)


jumping = {name: [rmssd(500, name, seed) for seed in (0, 1)] for name in ("pan_tompkins_detector", "swt_detector")}
steady = {name: [rmssd(500, name, seed) for seed in (0, 1)] for name in ("two_average_detector", "engzee_detector")}
print("RMSSD in ms:", jumping, steady)
assert min(min(each) for each in jumping.values()) > 20
assert max(max(each) for each in steady.values()) < 2

counts = [len(Detectors(360).hamilton_detector(ecg(360, seed))) for seed in (0, 1)]
print("beats of 60 by hamilton_detector:", counts)
assert min(counts) > 70
PYTHON
