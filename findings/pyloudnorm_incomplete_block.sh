#!/usr/bin/env bash
# pyloudnorm rounds the number of gating blocks, and a last one that the signal does not fill counts as if silence followed.
#
# ITU-R BS.1770-4, which the documentation names as the algorithm, does not use incomplete gating blocks at the end. From half of
# a step on there is one block more, whose squares are summed over what there is and divided by the full length, so
# that a steady sound becomes softer by going on. The error is largest with short sounds.
#
# Seen with pyloudnorm 0.2.0, a sine of 1 kHz at 48 kHz:
#   0.40 s and 0.44 s -9.07 LUFS   0.46 s -9.29 LUFS, where the only complete block is still that of the first 0.40 s
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'pyloudnorm==0.2.0' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import pyloudnorm

RATE, BLOCK, STEP = 48_000, 0.4, 0.1
sine = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)


def unweighted(seconds):
    """The loudness without a filter, of complete blocks alone and with the rest as another one."""
    meter = pyloudnorm.Meter(RATE, filter_class="custom")
    x = sine[: round(seconds * RATE)]
    starts = [round(k * STEP * RATE) for k in range(int(seconds / STEP))]
    powers = [(x[start : start + round(BLOCK * RATE)] ** 2).sum() / (BLOCK * RATE) for start in starts]
    complete = [power for start, power in zip(starts, powers, strict=True) if start + round(BLOCK * RATE) <= len(x)]
    loudness = [-0.691 + 10 * np.log10(np.mean(part)) for part in (complete, powers[: len(complete) + 1])]
    return meter.integrated_loudness(x), *loudness


for seconds in (0.46, 0.56):
    seen, complete, rest = unweighted(seconds)
    print(seconds, "s without a filter", seen, "complete blocks", complete, "and the rest", rest)
    assert np.isclose(seen, rest, atol=1e-3) and complete - seen > 0.1

# The filters are causal, so that the one complete block of all of these lengths is the same.
seen = [pyloudnorm.Meter(RATE).integrated_loudness(sine[: round(seconds * RATE)]) for seconds in (0.40, 0.44, 0.46)]
print("0.40, 0.44 and 0.46 s with the filters", seen)
assert np.isclose(seen[1], seen[0]) and seen[0] - seen[2] > 0.2
PYTHON
