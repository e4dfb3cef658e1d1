#!/usr/bin/env bash
# tsfresh's spkt_welch_density gives power densities under the names of other coefficients where a short series lacks one.
#
# A series of n samples has n / 2 + 1 coefficients. Where one that is asked for does not exist, the existing ones are lined up from
# the front of the list of names and the NaN values go to the end, whatever the order of the question. Only an ascending list, as
# the default settings have it, comes out right. A longer series gets every value under its own name.
#
# Seen with tsfresh 0.21.2, 20 samples with 5 periods, coefficients asked for as 50, 5, 2:
#   coeff_50 6.62   coeff_5 2.7e-04   coeff_2 nan   and asked for as 2, 5, 50: coeff_2 2.7e-04   coeff_5 6.62   coeff_50 nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'tsfresh==0.21.2' 'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.signal import welch
from tsfresh.feature_extraction.feature_calculators import spkt_welch_density

ABSENT, PRESENT, LOW = 50, 5, 2


def densities(x, *coefficients):
    return dict(spkt_welch_density(x, [{"coeff": coefficient} for coefficient in coefficients]))


noise = 0.01 * np.random.default_rng(0).standard_normal(200)
short, long = (np.sin(np.pi / 2 * np.arange(length)) + noise[:length] for length in (20, 200))
power = welch(short, nperseg=len(short))[1]
down, up = densities(short, ABSENT, PRESENT, LOW), densities(short, LOW, PRESENT, ABSENT)
print("asked for downwards", down)
print("asked for upwards", up)
assert np.isclose(up["coeff_5"], power[PRESENT]) and np.isclose(up["coeff_2"], power[LOW]) and np.isnan(up["coeff_50"])
assert np.isclose(down["coeff_50"], power[PRESENT]) and np.isclose(down["coeff_5"], power[LOW]) and np.isnan(down["coeff_2"])
assert power[PRESENT] > 1e4 * power[LOW]

assert densities(long, ABSENT, PRESENT, LOW) == densities(long, LOW, PRESENT, ABSENT)
PYTHON
