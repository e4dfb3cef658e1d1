#!/usr/bin/env bash
# SleepECG's cvSD divides by the mean of the differences, which is about 0, and its pNN50 counts padding as beats.
#
# The coefficient of variation of successive differences is their root mean square over the mean interval. cvSD divides
# by the mean difference, which any rhythm brings near 0: the result has any size and sign. The windows of a record are
# padded with NaN to the one with the most beats. A NaN is not above 50 ms, so that it counts as a small difference in
# pNN50 and pNN20, and a window's values depend on the others of the record. Intervals that min_rri or max_rri leave
# out count in the same way. NN50 beside it is right.
#
# Seen with SleepECG 0.6.0, intervals of 0.9 s and 1.1 s in turn in a window of 30 s:
#   pNN50, must be 1: alone 1.00, before one with 60 beats 0.47
#   cvSD of breathing over ten minutes: from -539 to 180, must be 0.05
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'sleepecg==0.6.0' 'pyyaml==6.0.3' 'tqdm==4.68.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from sleepecg import SleepRecord, extract_features

NAMES = ["NN50", "pNN50", "RMSSD", "meanNN", "cvSD"]


def features(intervals, **options):
    record = SleepRecord(heartbeat_times=np.cumsum([0.0, *intervals]))
    return extract_features([record], feature_selection=NAMES, **options)[0][0]


slow, fast = np.tile([0.9, 1.1], 15), np.full(80, 0.5)
alone, beside = features(slow)[0], features([*slow, *fast])[0]
for name, found in (("alone", alone), ("before 60 beats", beside)):
    print(name, dict(zip(NAMES, found.round(4))))
assert alone[0] == beside[0] and np.isclose(alone[1], 1) and beside[1] < 0.6
assert np.isclose(alone[2], beside[2])

missed = slow.copy()
missed[10] = 2.5
left_out = features(missed, max_rri=2.0)[0]
print("one interval left out", dict(zip(NAMES, left_out.round(4))))
assert 0.9 < left_out[1] < 0.95

beats = np.arange(600)
breathing = 1 + 0.05 * np.sin(2 * np.pi * beats / 4.3)
found = features(breathing)
expected = found[:, 2] / found[:, 3]
print("cvSD from", found[:, 4].min(), "to", found[:, 4].max(), "by the definition", expected.min(), expected.max())
assert found[:, 4].min() < -10 and found[:, 4].max() > 10 and np.allclose(expected, 0.047, atol=0.002)
PYTHON
