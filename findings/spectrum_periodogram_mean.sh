#!/usr/bin/env bash
# spectrum's periodogram removes the mean after the window, so that a constant keeps most of its power, and Daniell's begins with NaN.
#
# The documentation says that the mean is removed from the data before the spectrum is computed. It is subtracted from the product of data
# and window, and what is left is the mean times the window less 1, at zero and at the frequency next to it. With a rectangular
# window the mean goes. DaniellPeriodogram with no neighbours must give the original spectrum; it leaves out the first value of
# the spectrum always, and the mean of none is NaN.
#
# Seen with spectrum 0.10.0, 64 samples of the constant 5, window hamming:
#   power at zero 349 with detrend and 454 without, scipy 0 with its detrend
#   DaniellPeriodogram(noise, 0): NaN, then the periodogram
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'spectrum==0.10.0' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.signal import periodogram
from spectrum import DaniellPeriodogram, Window, speriodogram

LENGTH = 64
constant, hamming = np.full(LENGTH, 5.0), Window(LENGTH, "hamming").data
kept, raw = (speriodogram(constant, detrend=detrend, scale_by_freq=False) for detrend in (True, False))
rectangular = speriodogram(constant, detrend=True, scale_by_freq=False, window="rectangular")
removed = periodogram(constant, window=hamming, detrend="constant")[1]
print("with detrend", kept[:3], "without", raw[:3], "rectangular", rectangular[:3], "scipy", removed[:3])
assert np.allclose(raw, np.abs(np.fft.rfft(constant * hamming)) ** 2 / LENGTH)
assert np.allclose(kept, np.abs(np.fft.rfft(constant * (hamming - 1))) ** 2 / LENGTH)
assert kept[0] > 0.7 * raw[0] and np.isclose(kept[1], raw[1])
assert np.allclose(rectangular, 0) and np.allclose(removed, 0)

noise = np.random.default_rng(0).standard_normal(LENGTH)
original = speriodogram(noise)
with np.errstate(invalid="ignore"):
    daniell = DaniellPeriodogram(noise, 0)[0]
print("Daniell without neighbours", daniell[:3], "original", original[:3])
assert np.isnan(daniell[0]) and np.isfinite(original).all()
assert np.allclose(daniell[1:], original[1:])
PYTHON
