#!/usr/bin/env bash
# dtaidistance's distance_fast gives an infinite distance for some ordinary pairs of series, such as 0 0 0 and 1 1 1.
#
# distance_fast prunes by default: what costs more than the Euclidean distance is given up. That bound is a square root, squared again,
# and of 3 remain 2.9999999999999996. The warping path costs 3 and is given up as well, so that nothing is left. About 4 of
# 100 pairs of short integer series are concerned, and the nearest neighbor becomes the farthest. distance, and distance_fast
# with use_pruning=False, are right.
#
# Seen with dtaidistance 2.5.1, n zeros and n ones, whose distance is sqrt(n):
#   n = 2  distance 1.4142   distance_fast 1.4142
#   n = 3  distance 1.7321   distance_fast inf
#   n = 6  distance 2.4495   distance_fast inf
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'dtaidistance==2.5.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import math

import numpy as np
from dtaidistance import dtw


def warped(one, other):
    """The distance by the definition: the cheapest sum of squares along a path through all pairs."""
    costs = np.full((len(one) + 1, len(other) + 1), np.inf)
    costs[0, 0] = 0
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            costs[i, j] = (a - b) ** 2 + min(costs[i - 1, j], costs[i, j - 1], costs[i - 1, j - 1])
    return math.sqrt(costs[-1, -1])


for n in (2, 3, 6):
    zeros, ones = np.zeros(n), np.ones(n)
    whole, fast = dtw.distance(zeros, ones), dtw.distance_fast(zeros, ones)
    print(f"n = {n}  distance {whole:.4f}  distance_fast {fast:.4f}")
    assert math.isclose(warped(zeros, ones), math.sqrt(n)) and math.isclose(whole, math.sqrt(n))
    assert math.isclose(dtw.distance_fast(zeros, ones, use_pruning=False), math.sqrt(n))
    assert math.isclose(fast, math.sqrt(n)) if n == 2 else fast == math.inf

random = np.random.default_rng(0)
infinite = 0
for _ in range(2000):
    one, other = (random.integers(-3, 4, random.integers(3, 9)).astype(float) for _ in range(2))
    assert math.isclose(dtw.distance(one, other), warped(one, other))
    infinite += dtw.distance_fast(one, other) == math.inf
print(infinite, "of 2000 pairs of integers")
assert infinite > 20
PYTHON
