#!/usr/bin/env bash
# emd's wrap_phase(mode="-pi2pi") returns phases from 0 to pi, without negative ones, and writes them over those of its caller.
#
# The mode is documented to wrap phases within -pi and pi. Half a turn is added before the remainder, but it is taken off the divisor in
# place of the result, so that two phases half a turn apart become equal. Either mode stores the result in the array that it was
# given, so that a second call sees wrapped phases. The documentation tells of a returned time-course only.
#
# Seen with emd 0.8.1, -pi2pi:
#   -2.0 -0.5 0.0 0.5 2.0    1.14 2.64 0.00 0.50 2.00; these are in the range already
#   4.0                      0.86, must be -2.28
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'emd==0.8.1' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from emd.imftools import wrap_phase

phases = np.array([-2.0, -0.5, 0.0, 0.5, 2.0, 4.0, 10.0])
given = phases.copy()
seen = wrap_phase(given, mode="-pi2pi")
expected = np.angle(np.exp(1j * phases))
print("phases", phases, "seen", seen, "expected", expected)
assert np.allclose(expected[:5], phases[:5])
assert (seen >= 0).all() and np.allclose(seen, phases % np.pi)
assert not np.allclose(np.exp(1j * seen), np.exp(1j * phases))
assert np.array_equal(given, seen) and not np.array_equal(given, phases)

given = phases.copy()
seen = wrap_phase(given, mode="2pi")
print("2pi", seen, "the caller's array", given)
assert np.allclose(seen, phases % (2 * np.pi))
assert np.array_equal(given, seen) and not np.array_equal(given, phases)

# Of two cycles a wrap is 4 pi long; the result spans half of it.
seen = wrap_phase(np.linspace(-20, 20, 1001), ncycles=2, mode="-pi2pi")
print("two cycles", seen.min(), seen.max())
assert seen.min() >= 0 and seen.max() <= 2 * np.pi
PYTHON
