#!/usr/bin/env bash
# cesium's double to single steps of evenly sampled series are infinite, not 2, and its ratio of phases is a mix.
#
# The features are documented as ratios (t[i+2] - t[i]) / (t[i+1] - t[i]), or over the later of the two steps. The
# function gets steps in place of times, and takes sums and differences of them. With equal steps it divides by 0, and
# with a small jitter of the clock the ratios have any size and sign. freq_model_phi1_phi2 is documented as a ratio of
# two distances between extremes of the fitted model. It divides the first distance by the ratio of the two extremes
# of the second.
#
# Seen with cesium 0.12.4, 200 samples:
#   steps of 1 with a jitter of 0.01, ratios: median -58, deviation 1900; must be 2.00 and 0.01
#   a sine, whose extremes are evenly spaced: freq_model_phi1_phi2 0.36, must be 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'cesium==0.12.4' 'dask==2026.8.0' 'gatspy==0.3' 'scikit-learn==1.9.1' 'pandas==2.3.3' 'numpy==2.4.6' \
    'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from cesium.featurize import featurize_time_series

LENGTH = 200
draw = np.random.default_rng(0)
noise = draw.standard_normal(LENGTH)


def features(t, x, names):
    table = featurize_time_series([t], [x], [np.full(LENGTH, 0.1)], names)
    return [float(table[name].iloc[0, 0]) for name in names]


names = [f"{statistic}_double_to_single_step" for statistic in ("med", "std")]
for name, t in (("jitter", np.cumsum(1 + 0.01 * noise)), ("none", np.arange(float(LENGTH)))):
    ratios = (t[2:] - t[:-2]) / (t[1:-1] - t[:-2])
    seen, expected = features(t, draw.standard_normal(LENGTH), names), [np.median(ratios), ratios.std()]
    print("jitter of the clock:", name, "median and deviation", seen, "by the formula", expected)
    assert np.allclose(expected, [2, 0], atol=0.02)
    assert abs(seen[0]) > 10 and not seen[1] < 10

t = np.arange(LENGTH) * 0.1 + 0.01 * noise
names = [f"freq1_amplitude{k}" for k in (1, 2, 3, 4)] + [f"freq1_rel_phase{k}" for k in (2, 3, 4)]
seen, frequency, *model = features(t, np.sin(2 * np.pi * 0.7 * t), ["freq_model_phi1_phi2", "freq1_freq", *names])
grid = np.arange(0, 2, 1e-4)
terms = zip(model[:4], [0, *model[4:]], strict=True)
fitted = sum(a * np.sin(2 * np.pi * k * grid + phase) for k, (a, phase) in enumerate(terms, 1))
turns = grid[1:-1][np.diff(np.sign(np.diff(fitted))) != 0]
expected = (turns[2] - turns[1]) / (turns[3] - turns[2])
print("sine of 0.7: frequency", frequency, "ratio of phases", seen, "from the extremes", turns, expected)
assert np.isclose(frequency, 0.7, atol=0.01) and len(turns) == 4
assert np.isclose(expected, 1, atol=0.05) and seen < 0.5
assert np.isclose(seen, (turns[2] - turns[1]) / (turns[3] / turns[2]), atol=0.01)
PYTHON
