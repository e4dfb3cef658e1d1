#!/usr/bin/env bash
# MNE closes the gaps of a discontinuous EDF file and leaves the annotations where they were.
#
# Records of an EDF+D file say when each begins. MNE puts them one after the other, so that what was recorded at second 12 has the
# time 2. An annotation keeps its time: it meets other samples, or, as here, is dropped as outside of the data, with a warning.
#
# Seen with mne 1.13.2 and edfio 0.4.18: records of one second at 0, 1, 12 and 13, an annotation at 12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'mne==1.13.2' 'edfio==0.4.18' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings
from pathlib import Path

import edfio
import mne
import numpy as np

RATE, ONSETS, BEAT = 10, (0, 1, 12, 13), 12
signal = edfio.EdfSignal(np.arange(40.0), RATE, label="x", physical_range=(0, 100), digital_range=(0, 100))
edfio.Edf([signal], annotations=[edfio.EdfAnnotation(BEAT, None, "beat")], data_record_duration=1).write("c.edf")

# edfio writes continuous files. The kind is in the header's reserved field, the onsets in each record's annotations.
content = bytearray(Path("c.edf").read_bytes())
header = int(content[184:192])
record = (len(content) - header) // len(ONSETS)
content[192:197] = b"EDF+D"
for number, onset in enumerate(ONSETS):
    field = slice(header + number * record + 2 * RATE, header + (number + 1) * record)
    kept = bytes(content[field]).rstrip(b"\0").split(b"\0")[1:]
    lists = [f"+{onset}\x14\x14".encode(), *kept]
    content[field] = b"".join(each + b"\0" for each in lists).ljust(field.stop - field.start, b"\0")
Path("d.edf").write_bytes(content)

read = edfio.read_edf("d.edf")
print("edfio: continuous", read.is_continuous, "annotations", read.annotations)
assert not read.is_continuous
assert [each.onset for each in read.annotations] == [BEAT]

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    raw = mne.io.read_raw_edf("d.edf", preload=True, verbose="warning")
at_two = raw.get_data()[0, raw.time_as_index(2)[0]]
print("mne: seconds", raw.times[-1], "value at second 2", at_two, "annotations", list(raw.annotations))
print("mne says", [str(each.message) for each in said])
assert raw.times[-1] == 3.9
assert np.isclose(at_two, 20)  # recorded at second 12
assert len(raw.annotations) == 0
PYTHON
