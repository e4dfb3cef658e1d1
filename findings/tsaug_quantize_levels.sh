#!/usr/bin/env bash
# tsaug's Quantize by quantiles makes a constant near the least value of every series, and its uniform levels are not the nearest.
#
# For quantiles, it divides the fractions by 100 where it should multiply, so that all levels are percentiles below 0.01. For
# uniform levels, it takes each level's center from a rounded index, and the values come out half a step too high: "rounded to the
# nearest level", as documented, would be the floor.
#
# Seen with tsaug 0.2.1:
#   1000 samples of noise, 4 quantiles  levels -3.895 and -3.888 (the least sample is -3.899)   right -1.156 -0.356 0.266 1.084
#   0 to 1, 2 uniform levels            0.3 and 0.4 become 0.75                                  right 0.25
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tsaug==0.2.1' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import tsaug

noise = np.random.default_rng(0).standard_normal(1000)
levels = np.unique(tsaug.Quantize(n_levels=4, how="quantile").augment(noise))
right = np.quantile(noise, [0.125, 0.375, 0.625, 0.875])
print("quantiles:", levels.round(3), "least sample", noise.min().round(3), "right", right.round(3))
assert len(levels) <= 4 and levels.max() < np.quantile(noise, 0.01) < right.min()

ramp = np.linspace(0, 1, 11)
uniform = tsaug.Quantize(n_levels=2, how="uniform").augment(ramp)
nearest = np.array([0.25, 0.75])[np.abs(ramp[:, None] - [0.25, 0.75]).argmin(axis=1)]
print("uniform:", dict(zip(ramp.round(1).tolist(), uniform.tolist(), strict=True)))
assert set(uniform) == {0.25, 0.75}
assert uniform[3] == uniform[4] == 0.75 and nearest[3] == nearest[4] == 0.25
assert abs(uniform.mean() - ramp.mean()) > 0.1
PYTHON
