#!/usr/bin/env bash
# seglearn counts a zero crossing at each sample, mean crossings at zero, and correlates moments of time in place of variables.
#
# zero_crossing, with the default threshold of 0, compares its product of sign and step with >= 0, which is always true. mean_crossings
# counts changes of sign and subtracts no mean. corr2 hands numpy the variables as columns where it takes rows, and keeps the first
# entries: of two variables each coefficient is the correlation of two points, 1 or -1. The documentation says what the names do.
#
# Seen with seglearn 1.2.5, segments of 50 samples:
#   zero_crossing of a constant 1: 49    mean_crossings of noise around 5: 0, by a count 20 to 30
#   corr2 of two series of independent noise: 1 or -1, by numpy between -0.3 and 0.3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'seglearn==1.2.5' 'numpy==2.4.6' 'scipy==1.17.1' 'scikit-learn==1.9.1' 'pandas==3.1.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from seglearn.feature_functions import all_features, base_features

WIDTH = 50
features = all_features()
noise = np.random.default_rng(0).standard_normal((5, WIDTH, 2))


def crossings(X):
    return np.count_nonzero(np.diff(np.signbit(X), axis=1), axis=1)


for name, X in (("noise", noise), ("constant", np.ones((1, WIDTH, 1)))):
    seen = features["zero_crossings"](X)
    print("zero crossings of", name, seen.tolist(), "counted", crossings(X).tolist())
    assert (seen == WIDTH - 1).all() and (crossings(X) < 40).all()

X = noise + 5
seen, expected = base_features()["mnx"](X), crossings(X - X.mean(axis=1, keepdims=True))
print("mean crossings", seen.tolist(), "counted", expected.tolist())
assert (seen == 0).all() and (expected > 10).all()

seen = features["corr"](noise)[:, 0]
expected = np.array([np.corrcoef(segment.T)[0, 1] for segment in noise])
print("correlation", seen, "by numpy", expected)
assert np.allclose(np.abs(seen), 1) and (np.abs(expected) < 0.5).all()
four = np.random.default_rng(1).standard_normal((1, WIDTH, 4))
moments = np.corrcoef(four[0])[np.triu_indices(4, 1)]
variables = np.corrcoef(four[0].T)[np.triu_indices(4, 1)]
assert np.allclose(features["corr"](four)[0], moments) and np.abs(moments - variables).max() > 0.3
PYTHON
