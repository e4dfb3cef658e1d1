#!/usr/bin/env bash
# nitime's get_spectra gives frequencies up to 79577 Hz for signals of 1000 Hz unless its method is Welch's.
#
# The functions for the methods multi_taper_csd and periodogram_csd give frequencies in Hz already. get_spectra takes them for
# angles of the circle and multiplies them by the sampling rate / (2 pi) once more. With the default rate of 2 pi that is 1. The
# delays of CoherenceAnalyzer are divided by these frequencies. Called for both sides, periodogram_csd itself spreads its
# frequencies up to half the sampling rate in place of the whole.
#
# Seen with nitime 0.12.1, a sine of 125 Hz with 1000 samples per second, and noise with a copy 2 ms later:
#   peak: welch 125 Hz   multi_taper_csd and periodogram_csd 19894 Hz   periodogram_csd, both sides 62.5 Hz
#   delay: welch 2.00 ms   multi_taper_csd 0.0126 ms
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    'nitime==0.12.1' 'numpy==2.4.6' 'scipy==1.17.1' 'matplotlib==3.11.2'
cd "$folder"
venv/bin/python - <<'PYTHON'
import nitime.algorithms
import numpy as np
from nitime.analysis import CoherenceAnalyzer
from nitime.timeseries import TimeSeries

RATE, TONE, LENGTH, DELAY = 1000, 125, 4096, 2
noise = np.random.default_rng(0).standard_normal((3, LENGTH))
tone = np.sin(2 * np.pi * TONE / RATE * np.arange(LENGTH))
tones = tone + 0.1 * noise[:2]
late = np.vstack([noise[0], np.roll(noise[0], DELAY)]) + 0.01 * noise[1:]

peaks, delays = {}, {}
for method in ("welch", "multi_taper_csd", "periodogram_csd"):
    frequencies, spectra = nitime.algorithms.get_spectra(tones, {"this_method": method, "Fs": RATE})
    peaks[method] = frequencies[np.argmax(np.abs(spectra[0, 0]))]
    analyzer = CoherenceAnalyzer(TimeSeries(late, sampling_rate=RATE), method={"this_method": method, "Fs": RATE})
    low = slice(1, len(analyzer.frequencies) // 4)
    delays[method] = np.abs(np.median(analyzer.delay[0, 1][low])) * 1000
    print(method, "last frequency", frequencies[-1], "peak", peaks[method], "delay in ms", delays[method])
    factor = 1 if method == "welch" else RATE / (2 * np.pi)
    assert np.isclose(frequencies[-1], RATE / 2 * factor)
    assert np.isclose(peaks[method], TONE * factor)
    assert np.isclose(delays[method] * factor, DELAY, rtol=0.02)

for function in (nitime.algorithms.periodogram_csd, nitime.algorithms.multi_taper_csd):
    for sides in ("onesided", "twosided"):
        frequencies, spectra = function(tones, Fs=RATE, sides=sides)
        peak = frequencies[np.argmax(np.abs(spectra[0, 0])[: LENGTH // 2])]
        print(function.__name__, sides, "last frequency", frequencies[-1], "peak", peak)
        halved = function is nitime.algorithms.periodogram_csd and sides == "twosided"
        assert np.isclose(peak, TONE / 2 if halved else TONE)
PYTHON
