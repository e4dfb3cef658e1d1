#!/usr/bin/env bash
# MedPy's Minkowski distance takes another power for negative integers, and its cosine_2 of equal histograms is 0.36.
#
# The documentation gives (Σ|H - H'|^p)^(1/p) for every p but 0. For integers from -1 to -24 a shorter way multiplies
# the differences twice more than it should: 1/|H - H'|^3 for -1. The same exponent as a float is right. cosine_2 is
# documented as a distance that is 0 for equal histograms, by 1 - 2 arccos(d) / π, which is 1 for them. It computes
# 1 - 2 d / π, which is neither.
#
# Seen with MedPy 0.5.2, histograms 0.1 0.2 0.3 0.4 and 0.4 0.25 0.25 0.1:
#   p    -1        -1.0      -2       -2.0
#        0.00006   0.02143   0.0018   0.0349
#   cosine_2 of a histogram with itself 0.363; of two without a common bin 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'numpy==2.4.6' 'scipy==1.17.1'
# The metrics need none of its other packages, which read and write images.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'medpy==0.5.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from medpy.metric.histogram import cosine, cosine_2, manhattan, minowski

first, second = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.25, 0.25, 0.1])
for p in (-3, -2, -1, 1, 2, 3):
    expected = np.sum(np.abs(first - second) ** float(p)) ** (1 / p)
    as_integer, as_float = minowski(first, second, p), minowski(first, second, float(p))
    two_more = np.sum(np.abs(first - second) ** (p - 2.0)) ** (1 / p)
    print("p", p, "as an integer", as_integer, "as a float", as_float, "by the formula", expected)
    assert np.isclose(as_float, expected)
    assert np.isclose(as_integer, expected if p > 0 else two_more)
    assert p > 0 or as_integer < expected / 5
assert np.isclose(manhattan(first, second), minowski(first, second, 1))

apart = np.array([0.5, 0.5, 0, 0]), np.array([0, 0, 0.5, 0.5])
for name, pair in {"equal": (first, first), "different": (first, second), "apart": apart}.items():
    d, seen = cosine(*pair), cosine_2(*pair)
    print(name, "cosine", d, "cosine_2", seen, "documented formula", 1 - 2 * np.arccos(min(d, 1)) / np.pi)
    assert np.isclose(seen, 1 - 2 * d / np.pi)
    assert name != "equal" or seen > 0.36
PYTHON
