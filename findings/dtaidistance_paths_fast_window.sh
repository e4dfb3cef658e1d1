#!/usr/bin/env bash
# dtaidistance's warping_paths_fast leaves the window for some lengths, and its distance is then smaller than that of distance.
#
# A window of 3 allows shifts of fewer than 3 from the diagonals through the two ends. For 5 and 6 samples, the function in C also
# fills the first cell of the fourth row and the second of the fifth, which lie outside, and takes a path through them.
# warping_paths, distance and distance_fast (with use_pruning=False) keep to the window. Other lengths concerned: 7 and 8 with a
# window of 4, 5 and 10 with 3.
#
# Seen with dtaidistance 2.5.1, 0 -1 1 -2 0 against -1 1 1 1 2 2, window 3:
#   distance, warping_paths 4.2426   warping_paths_fast 4.1231
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


def warped(one, other, window):
    """The table by the definition, with the cells outside the window infinite."""
    n, m = len(one), len(other)
    costs = np.full((n + 1, m + 1), np.inf)
    costs[0, 0] = 0
    for i in range(n):
        for j in range(m):
            if i - max(0, n - m) - window < j < i + max(0, m - n) + window:
                before = min(costs[i, j], costs[i, j + 1], costs[i + 1, j])
                costs[i + 1, j + 1] = (one[i] - other[j]) ** 2 + before
    return np.sqrt(costs)


one, other = np.array([0.0, -1, 1, -2, 0]), np.array([-1.0, 1, 1, 1, 2, 2])
right = warped(one, other, 3)
slow, slow_table = dtw.warping_paths(one, other, window=3)
fast, fast_table = dtw.warping_paths_fast(one, other, window=3)
distances = [dtw.distance(one, other, window=3), dtw.distance_fast(one, other, window=3, use_pruning=False), slow]
print("right", right[-1, -1], "distance, distance_fast, warping_paths", distances, "warping_paths_fast", fast)
assert np.allclose(distances, math.sqrt(18)) and math.isclose(right[-1, -1], math.sqrt(18))
assert math.isclose(fast, math.sqrt(17))
outside = np.isinf(right) & np.isfinite(fast_table)
print("filled outside of the window, rows and columns from 1:", np.argwhere(outside).tolist())
assert np.array_equal(np.isinf(right), np.isinf(slow_table))
assert [4, 1] in np.argwhere(outside).tolist()

random = np.random.default_rng(0)
for n, m, window in ((5, 6, 3), (7, 8, 4), (5, 10, 3)):
    pairs = [(random.integers(-2, 3, n).astype(float), random.integers(-2, 3, m).astype(float)) for _ in range(4000)]
    smaller = sum(dtw.warping_paths_fast(*p, window=window)[0] < dtw.distance(*p, window=window) - 1e-6 for p in pairs)
    print(f"{n} and {m} samples, window {window}: smaller for {smaller} of {len(pairs)} pairs")
    assert smaller > 0
PYTHON
