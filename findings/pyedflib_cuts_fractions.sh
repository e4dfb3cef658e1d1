#!/usr/bin/env bash
# pyedflib cuts the fraction off when it turns physical values to digital ones, so a file that is read and written again changes.
#
# A value read from a file is that of its digital value but for the last bits of a double. Cutting turns a quarter of them
# into the neighbor, and each further copy moves some of these by one more. edfio rounds and keeps all.
#
# Seen with pyedflib 0.1.42 and edfio 0.4.18, 1000 digital values of 16 bits, range -100 to 100, read and written four times:
#   pyedflib: 27 % differ after the first copy, by 1, and 30 % after the fourth, by up to 4   edfio: none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyedflib==0.1.42' 'edfio==0.4.18' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import edfio
import numpy as np
import pyedflib

LOW, HIGH = -32768, 32767
DIGITAL = np.random.default_rng(0).integers(LOW, HIGH, 1000)
STEP = 200 / (HIGH - LOW)


def by_pyedflib(physical):
    writer = pyedflib.EdfWriter("a.edf", 1, file_type=pyedflib.FILETYPE_EDFPLUS)
    limits = {"physical_min": -100.0, "physical_max": 100.0, "digital_min": LOW, "digital_max": HIGH}
    texts = {"label": "x", "dimension": "uV", "transducer": "", "prefilter": ""}
    writer.setSignalHeader(0, {**texts, **limits, "sample_frequency": 100})
    writer.writeSamples([physical])
    writer.close()
    reader = pyedflib.EdfReader("a.edf")
    physical, digital = reader.readSignal(0), reader.readSignal(0, digital=True)
    reader.close()
    return physical, digital


def by_edfio(physical):
    signal = edfio.EdfSignal(physical, 100, label="x", physical_range=(-100, 100), digital_range=(LOW, HIGH))
    edfio.Edf([signal]).write("b.edf")
    (signal,) = edfio.read_edf("b.edf").signals
    return signal.data, signal.digital


found = {}
for copy in (by_pyedflib, by_edfio):
    physical = (DIGITAL - LOW) * STEP - 100
    found[copy] = []
    for _ in range(4):
        physical, digital = copy(physical)
        off = np.abs(digital.astype(int) - DIGITAL)
        found[copy].append((float((off > 0).mean()), int(off.max())))
    print(copy.__name__, "share of changed samples and largest change of each copy", found[copy])
shares, largest = zip(*found[by_pyedflib], strict=True)
assert 0.2 < shares[0] < shares[-1]
assert largest == (1, 2, 3, 4)
assert found[by_edfio] == [(0.0, 0)] * 4

# Far from the limits of rounding: three quarters of a step above a digital value is nearest to the next one.
(above,) = (by_pyedflib((DIGITAL - LOW + 0.75) * STEP - 100)[1] - DIGITAL,)
print("three quarters of a step above, values from 0 on:", set(above[DIGITAL > 0].tolist()))
assert set(above[DIGITAL > 0].tolist()) == {0}
assert set((by_edfio((DIGITAL - LOW + 0.75) * STEP - 100)[1] - DIGITAL).tolist()) == {1}
PYTHON
