#!/usr/bin/env bash
# tslearn's piecewise aggregate approximation leaves the last samples out where the segments do not divide the length.
#
# Each segment gets the whole part of length / segments, from the front on. Up to segments - 1 samples are in none of them, and the
# inverse gives 0 there. SAX of the same package counts the same way. pyts spreads the segments over all samples.
#
# Seen with tslearn 0.10.0, 19 zeros and then a value of 1000, 7 segments:
#   means 0 0 0 0 0 0 0; the inverse of 20 samples of 5 is 5 up to sample 13 and 0 from there on
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tslearn==0.10.0' 'pyts==0.14.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import pyts.approximation
from tslearn.piecewise import PiecewiseAggregateApproximation, SymbolicAggregateApproximation

LENGTH, SEGMENTS = 20, 7
late = np.zeros((1, LENGTH))
late[0, -1] = 1000
paa = PiecewiseAggregateApproximation(n_segments=SEGMENTS)
means = paa.fit_transform(late[..., None])[0, :, 0]
others = pyts.approximation.PiecewiseAggregateApproximation(window_size=None, output_size=SEGMENTS).fit_transform(late)[0]
print("tslearn", means, "pyts", others)
assert np.array_equal(means, np.zeros(SEGMENTS))
assert others[-1] > 100

constant = np.full((1, LENGTH, 1), 5.0)
back = paa.inverse_transform(paa.fit_transform(constant))[0, :, 0]
print("inverse of a constant 5:", back)
used = LENGTH // SEGMENTS * SEGMENTS
assert np.array_equal(back, [5.0] * used + [0.0] * (LENGTH - used))

sax = SymbolicAggregateApproximation(n_segments=SEGMENTS, alphabet_size_avg=3)
assert np.array_equal(sax.fit_transform(late[..., None]), sax.fit_transform(0 * late[..., None]))
PYTHON
