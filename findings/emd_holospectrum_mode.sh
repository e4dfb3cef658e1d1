#!/usr/bin/env bash
# emd's holospectrum sums power for mode="amplitude" too, and returns a dense array for return_sparse=True.
#
# The documentation offers both modes and sparse results, and strongly recommends the latter for unsummed spectra. Neither option
# is handed on: the last step is always called with mode="power" and return_sparse=False. hilberthuang, which has the same two options,
# keeps the mode but not the other.
#
# Seen with emd 0.8.1, 200 samples of one mode of amplitude 3, of which the amplitudes sum to 600 and the squares to 1800:
#   holospectrum 1800 for either mode, hilberthuang 600 and 1800; all of them numpy arrays
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'emd==0.8.1' 'numpy==2.4.6' 'scipy==1.17.1' 'sparse==0.19.3'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from emd.spectra import hilberthuang, holospectrum

LENGTH, AMPLITUDE = 200, 3.0
carrier, modulation = np.full((LENGTH, 1), 10.0), np.full((LENGTH, 1, 1), 2.0)
amplitude = np.full((LENGTH, 1, 1), AMPLITUDE)
edges, edges2 = np.array([5.0, 15, 25]), np.array([1.0, 3, 5])
expected = {"power": LENGTH * AMPLITUDE**2, "amplitude": LENGTH * AMPLITUDE}

for mode, total in expected.items():
    options = {"mode": mode, "return_sparse": True}
    holo = holospectrum(carrier, modulation, amplitude, edges=edges, edges2=edges2, **options)[2]
    huang = hilberthuang(carrier, amplitude[:, :, 0], edges=edges, **options)[1]
    print(mode, "holospectrum", holo.tolist(), "hilberthuang", huang.tolist(), "sum", total, type(holo), type(huang))
    assert type(holo) is type(huang) is np.ndarray
    assert np.allclose(huang, [total, 0])
    assert np.allclose(holo, [[expected["power"], 0], [0, 0]])
PYTHON
