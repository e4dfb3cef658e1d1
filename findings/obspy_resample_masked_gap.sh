#!/usr/bin/env bash
# obspy's Trace.resample computes with the values beneath the mask of a gap, and drops the mask.
#
# filter, detrend and decimate refuse a trace with masked values. resample and integrate do not: what marks a gap becomes part of every
# sample around it, and nothing shows any more that there was a gap.
#
# Seen with obspy 1.5.1: 10 everywhere, 100 of 300 samples masked as -9999. The resampled trace has no mask and reaches below
# -9000 within the gap and is 20 or more off at many samples outside of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'obspy==1.5.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import obspy

samples = np.full(300, 10)
samples[100:200] = -9999
trace = obspy.Trace(np.ma.masked_equal(samples, -9999), {"sampling_rate": 10})
try:
    trace.copy().filter("lowpass", freq=1)
    refused = ""
except NotImplementedError as error:
    refused = str(error)
print("filter:", refused)
assert "masked values" in refused

halved = trace.copy().resample(5).data
outside = np.concatenate([halved[5:45], halved[105:145]])
print("resample: masked", np.ma.getmaskarray(halved).sum(), "lowest", halved.min())
print("off by 20 outside of the gap:", (abs(outside - 10) > 20).sum(), "of", outside.size)
assert not np.ma.isMaskedArray(halved)
assert halved.min() < -9000
assert (abs(outside - 10) > 20).sum() > 20

summed = trace.copy().integrate().data
print("integrate: masked", np.ma.getmaskarray(summed).sum(), "at the end", summed[-1])
assert not np.ma.isMaskedArray(summed)
assert summed[-1] < -90_000
PYTHON
