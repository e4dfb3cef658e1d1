#!/usr/bin/env bash
# acoustics' slow time weighting reads 2.35 dB too much of a steady sound, and its fast one forgets all after 125 ms.
#
# The documentation names one real pole at -1 / τ, and IEC 61672-1 an exponential decay: behind a sound that stops, F
# falls by 34.7 dB in a second. The filter is built with its pole at +τ, so that it grows, and starts at zero in each
# block of τ. F is nearly the mean of one block, and S weighs the oldest sample of a second e times the newest.
#
# Seen with acoustics 0.2.6, a sine of 1 Pa (93.98 dB) that stops after five seconds:
#   steady: slow 96.33 dB, fast 94.01 dB    fast in the next 125 ms: nothing at all, must be 4.3 dB less
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'acoustics==0.2.6' 'numpy==1.26.4' 'scipy==1.11.4' 'pandas==2.2.3' 'matplotlib==3.10.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from acoustics.standards.iec_61672_1_2013 import FAST, REFERENCE_PRESSURE, SLOW, fast, slow

RATE, SECONDS, STOP = 8000, 10, 5
p = np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(SECONDS * RATE) / RATE)
p[STOP * RATE :] = 0


def level(squares):
    return 10 * np.log10(squares / REFERENCE_PRESSURE**2)


def exponential(squares, constant):
    """The weighting with a pole at -1 / constant, read at the end of each span of that constant."""
    smoothing, state, read = np.exp(-1 / (constant * RATE)), 0.0, []
    for k, square in enumerate(squares, start=1):
        state = smoothing * state + (1 - smoothing) * square
        if k % int(constant * RATE) == 0:
            read.append(state)
    return np.array(read)


for name, weighting, constant in (("slow", slow, SLOW), ("fast", fast, FAST)):
    seen, reference = weighting(p**2, RATE), exponential(p**2, constant)
    last = int(STOP / constant) - 1
    steady, correct = level(seen[last]), level(reference[last])
    print(name, "steady", steady, "dB, must be", correct, "dB, then", seen[last + 1 : last + 3])
    print(name, "then must be", level(reference[last + 1 : last + 3]), "dB")
    assert np.isclose(correct, level(1.0), atol=0.05)
    assert np.allclose(np.diff(level(reference[last:])), -10 * np.log10(np.e))
    # What grows with e ** (constant * t), from zero, over one span.
    assert np.isclose(seen[last], np.expm1(constant**2) / constant**2, rtol=1e-3)
    assert (seen[last + 1 :] == 0).all()
    assert name == "fast" or steady - correct > 2.3
PYTHON
