#!/usr/bin/env bash
# MNE resamples a slow channel of an EDF file to the rate of the fastest, and classes become numbers between them.
#
# Sleep stages or other labels are often a channel of their own with a value for every some seconds. Read beside an EEG, stages 0, 1, 2
# and 4 become a smooth curve, values below 0 included, and nothing is said. edfio keeps each channel's own samples.
#
# Seen with mne 1.13.2 and edfio 0.4.18: 20 stages, one for every two seconds, beside a signal of 10 Hz.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'mne==1.13.2' 'edfio==0.4.18' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import edfio
import mne
import numpy as np

STAGES = np.tile([0.0, 1, 2, 4], 5)
eeg = edfio.EdfSignal(np.sin(np.arange(400)), 10, label="EEG", physical_range=(-1, 1))
stages = edfio.EdfSignal(STAGES, 0.5, label="stage", physical_range=(0, 255), digital_range=(0, 255))
edfio.Edf([eeg, stages], data_record_duration=2).write("night.edf")

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    values = mne.io.read_raw_edf("night.edf", preload=True, verbose="warning").get_data()[1]
print("mne:", len(values), "values,", len(np.unique(values.round(3))), "different, from", values.min(), "to", values.max())
print("mne says", [str(each.message) for each in said])
assert len(values) == 400
assert len(np.unique(values.round(3))) > 20
assert values.min() < -0.2
assert not said
own = edfio.read_edf("night.edf").get_signal("stage").data
print("edfio:", own)
assert np.array_equal(own, STAGES)
PYTHON
