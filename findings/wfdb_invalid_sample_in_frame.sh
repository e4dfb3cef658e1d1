#!/usr/bin/env bash
# wfdb.rdrecord averages the marker of an invalid sample with its neighbours in the frame.
#
# Signals of several samples in a frame are averaged by default (smooth_frames). The marker of format 16, -32768, is averaged before it
# becomes NaN, so that the gap is an ordinary number far off. With smooth_frames=False the sample is NaN.
#
# Seen with wfdb 4.3.1: two samples a frame, gain 100, samples 1 1, 3 NaN, 5 5:
#   default              1 -162.34 5
#   smooth_frames=False  1 1 3 nan 5 5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'wfdb==4.3.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import wfdb

WRITTEN = np.array([1, 1, 3, np.nan, 5, 5])
wfdb.wrsamp(
    "frames",
    fs=4,
    units=["mV", "mV"],
    sig_name=["slow", "fast"],
    e_p_signal=[np.array([1.0, 2, 3]), WRITTEN],
    samps_per_frame=[1, 2],
    fmt=["16", "16"],
    adc_gain=[100, 100],
    baseline=[0, 0],
)
averaged = wfdb.rdrecord("frames").p_signal[:, 1]
separate = wfdb.rdrecord("frames", smooth_frames=False).e_p_signal[1]
print("default", averaged, "smooth_frames=False", separate)
assert np.allclose(averaged, [1, -162.34, 5])
assert np.allclose(separate, WRITTEN, equal_nan=True)
PYTHON
