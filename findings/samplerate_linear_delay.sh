#!/usr/bin/env bash
# samplerate's converters "linear" and "zero_order_hold" delay a signal by one input sample; the sinc converters do not.
#
# Twice the rate must keep each second value where it was. Both put it two samples of the output later, so that labels or channels
# of another converter no longer fit.
#
# Seen with samplerate 0.2.4 (libsamplerate), input 0 1 2 ... 9, ratio 2:
#   linear           0 0 0 0.5 1 1.5 ...   zero_order_hold  0 0 0 0 1 1 2 2 ...   expected 0 0.5 1 1.5 ... and 0 0 1 1 2 2 ...
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'samplerate==0.2.4' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import samplerate

RATIO = 2
ramp = np.arange(10.0)
linear = samplerate.resample(ramp, RATIO, "linear")
hold = samplerate.resample(ramp, RATIO, "zero_order_hold")
print("linear", linear, "zero_order_hold", hold)
assert np.allclose(linear[RATIO:], np.arange(len(linear) - RATIO) / RATIO)  # one input sample late
assert np.allclose(hold[RATIO:], np.arange(len(hold) - RATIO) // RATIO)

# Delays that fit a slow sine best, in samples of the input.
time = np.arange(2000)
slow = np.sin(2 * np.pi * time / 100)
for name, delay in (("linear", 1), ("zero_order_hold", 1.25), ("sinc_fastest", 0), ("sinc_best", 0)):
    out = samplerate.resample(slow, RATIO, name)[1000:3000]
    at = np.arange(1000, 3000) / RATIO
    seen = -np.angle(np.mean(out * np.exp(-2j * np.pi * at / 100)) * 1j) / (2 * np.pi) * 100
    print(name, "delay", round(float(seen), 4))
    assert np.isclose(seen, delay, atol=0.01)
PYTHON
