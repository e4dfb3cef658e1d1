#!/usr/bin/env bash
# tsfel's mel cepstral coefficients read the first 512 samples of a window and ignore the others without a word.
#
# The signal is said to be a window already, so that no frames are made, and `nfft` to be the points of the Fourier transform. A longer
# signal is cut to that many points. Only an nfft of its length or more reads all of it. python_speech_features, after which the
# lifter is made, warns where it cuts a frame.
#
# Seen with tsfel 0.2.0, 1000 samples of noise, of which 488 at the end are replaced by a loud sine:
#   mfcc(x, 100): no coefficient differs    mfcc(x, 100, nfft=1024): by up to 281
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'tsfel==0.2.0' 'numpy==2.4.6' 'scipy==1.17.1' 'pandas==3.1.1' 'setuptools==80.9.0'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import tsfel

RATE, LENGTH, READ = 100, 1000, 512
noise = np.random.default_rng(0).standard_normal(LENGTH)
changed = noise.copy()
changed[READ:] = 100 * np.sin(2 * np.pi * 10 * np.arange(READ, LENGTH) / RATE)
earlier = noise.copy()
earlier[READ - 1] += 100


def differs(other, **options):
    return np.abs(np.subtract(tsfel.mfcc(noise, RATE, **options), tsfel.mfcc(other, RATE, **options))).max()


print("end changed", differs(changed), "sample 511 changed", differs(earlier), "end changed, longer transform", differs(changed, nfft=1024))
assert differs(changed) == 0 and np.array_equal(tsfel.mfcc(noise, RATE), tsfel.mfcc(noise[:READ], RATE))
assert differs(earlier) > 1
assert differs(changed, nfft=1024) > 10
PYTHON
