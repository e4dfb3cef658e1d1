#!/usr/bin/env bash
# mne-features' correlation of two channels is -1 whatever the channels are, in the time domain and of the spectra.
#
# time_corr and spect_corr are to be the coefficients of correlation between channels, each as a row over time or
# frequency. Before that the data are standardized along the wrong axis: over the channels, at each point of time. Of
# two channels one is then 1 and the other -1 all along. Of n independent channels the mean coefficient is
# -1 / (n - 1), and one of the eigenvalues that come along is 0.
#
# Seen with mne-features 0.3.2 and mne 1.13.2:
#   two channels, by numpy 0.92, -0.02 and -0.92: time_corr -1, -1 and -1, spect_corr -1 each time
#   four channels of independent noise: mean coefficient -0.33
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'mne-features==0.3.2' 'mne==1.13.2' 'numba==0.68.1' 'PyWavelets==1.9.0' 'scikit-learn==1.9.1' 'pandas==3.1.1' \
    'numpy==2.4.6' 'scipy==1.17.1'
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from mne_features.bivariate import compute_spect_corr, compute_time_corr
from scipy.signal import welch

RATE, LENGTH = 250.0, 2000
draw = np.random.default_rng(0)
source = draw.standard_normal(LENGTH)


def noisy(signal):
    return signal + 0.3 * draw.standard_normal(LENGTH)


others = {"alike": (source, 1), "independent": (draw.standard_normal(LENGTH), 0), "opposite": (-source, -1)}
for name, (other, correlation) in others.items():
    data = np.stack([noisy(source), noisy(other)])
    expected = np.corrcoef(data)[0, 1]
    expected_of_spectra = np.corrcoef(welch(data, RATE, nperseg=256)[1])[0, 1]
    in_time = compute_time_corr(data, with_eigenvalues=False)
    of_spectra = compute_spect_corr(RATE, data, with_eigenvalues=False)
    print(name, "in time", in_time, "by numpy", expected, "of spectra", of_spectra, "by numpy", expected_of_spectra)
    assert np.allclose(in_time, -1) and abs(expected - correlation) < 0.12
    assert np.allclose(of_spectra, -1) and expected_of_spectra > (0.7 if correlation else -0.3)

four = draw.standard_normal((4, LENGTH))
seen = compute_time_corr(four)
coefficients, eigenvalues = seen[:6], seen[6:]
expected = np.corrcoef(four)
print("four channels", coefficients, "eigenvalues", eigenvalues)
print("by numpy at most", np.abs(expected - np.eye(4)).max(), "eigenvalues", np.linalg.eigvalsh(expected))
assert np.isclose(coefficients.mean(), -1 / 3, atol=0.01) and np.isclose(eigenvalues.min(), 0, atol=1e-9)
assert np.abs(expected - np.eye(4)).max() < 0.1 and np.linalg.eigvalsh(expected).min() > 0.8
PYTHON
