#!/usr/bin/env bash
# neurokit2's signal_resample stretches a signal with its default method: the last sample goes to the end of the output.
#
# n samples last n periods, and the last one begins one period before the end. The method "interpolation" lays it on the last of
# the new samples. What is late in the signal moves by nearly one period of the slower clock, here 0.1 s or a hundred new
# samples, so that labels of the time before no longer fit. The method "poly" keeps the times.
#
# Seen with neurokit2 0.3.0, 10 Hz to 1000 Hz, 20 s, a bump at second 19: interpolation 19.095 s, poly 19.000 s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'neurokit2==0.3.0' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import neurokit2
import numpy as np

SLOW, FAST, LENGTH = 10, 1000, 200
time = np.arange(LENGTH) / SLOW
for center in (1, 10, 19):
    bump = np.exp(-(((time - center) / 0.3) ** 2))
    seen = {}
    for method in ("interpolation", "poly"):
        out = neurokit2.signal_resample(bump, sampling_rate=SLOW, desired_sampling_rate=FAST, method=method)
        assert len(out) == LENGTH * FAST // SLOW
        seen[method] = np.argmax(out) / FAST
    print("bump at", center, "seen at", seen)
    assert np.isclose(seen["poly"], center, atol=0.003)
    stretched = center * (LENGTH * FAST / SLOW - 1) / FAST / time[-1]
    assert np.isclose(seen["interpolation"], stretched, atol=0.003)
assert seen["interpolation"] - seen["poly"] > 0.09
PYTHON
