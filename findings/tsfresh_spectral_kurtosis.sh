#!/usr/bin/env bash
# tsfresh's kurtosis of the spectrum (fft_aggregated) is wrong by thousands: it leaves the fourth power of the centroid out.
#
# The documentation calls it the fourth standardized moment. The last term of the expansion around the centroid c is -3 c^4, and
# tsfresh subtracts -3 c. What remains grows with c^4 / variance^2, so the feature says where the spectrum lies and not how heavy
# its tails are. The centroid, the variance and the skew of the same function are right.
#
# Seen with tsfresh 0.21.2, a Gaussian pulse (kurtosis 3) and white noise (a flat spectrum has 1.8):
#   pulse 57263   white noise 28.2   and by the definition, with the same spectrum, 3.00 and 1.81
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tsfresh==0.21.2' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.signal import gausspulse
from tsfresh.feature_extraction.feature_calculators import fft_aggregated

MOMENTS = ("centroid", "variance", "skew", "kurtosis")
LENGTH = 1000


def by_definition(x):
    """Mean, variance and the third and fourth standardized moment of the bins, weighted by the absolute spectrum."""
    weights = np.abs(np.fft.rfft(x))
    weights /= weights.sum()
    bins = np.arange(len(weights))
    centroid = weights @ bins
    variance = weights @ (bins - centroid) ** 2
    return [centroid, variance] + [weights @ (bins - centroid) ** n / variance ** (n / 2) for n in (3, 4)]


signals = {
    "pulse": gausspulse(np.arange(LENGTH) / LENGTH - 0.5, fc=100, bw=0.2),
    "white noise": np.random.default_rng(0).standard_normal(LENGTH),
}
seen = {}
for name, x in signals.items():
    features = dict(fft_aggregated(x, [{"aggtype": moment} for moment in MOMENTS]))
    *others, seen[name] = (features[f'aggtype_"{moment}"'] for moment in MOMENTS)
    *expected, kurtosis = by_definition(x)
    print(name, "kurtosis", seen[name], "by definition", kurtosis)
    assert np.allclose(others, expected, atol=1e-6)
    centroid, variance = expected[:2]
    assert np.isclose(seen[name], kurtosis + 3 * (centroid**4 - centroid) / variance**2)
assert seen["pulse"] > 50000
assert seen["white noise"] > 25
PYTHON
