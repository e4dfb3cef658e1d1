#!/usr/bin/env bash
# spafe's mel and linear filter banks lie elsewhere on the spectrum as soon as low_freq or high_freq is given.
#
# The columns of a bank belong to the bins of the FFT, which go from 0 to half the sampling rate. spafe spreads the band from low_freq to
# high_freq over all of them. A bank for 0 to 4000 Hz of a signal of 16 kHz so covers 0 to 8000 Hz, and each filter hears what is at twice its
# frequency. MFCC and the mel spectrogram multiply by that bank. With the defaults nothing is wrong.
#
# Seen with spafe 0.3.3 at 16 kHz, a tone of 2000 Hz, center of the loudest of 24 mel filters:
#   high_freq 8000  1895 Hz   high_freq 4000  1046 Hz
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'spafe==0.3.3' 'numpy==2.4.6'
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from spafe.fbanks.linear_fbanks import linear_filter_banks
from spafe.fbanks.mel_fbanks import mel_filter_banks
from spafe.features.mfcc import mel_spectrogram
from spafe.utils.converters import mel2hz

RATE, FFT = 16000, 512
bins = np.arange(FFT // 2 + 1) * RATE / FFT
for low, high in ((0, 8000), (0, 4000), (300, 3400)):
    options = {"nfilts": 6, "nfft": FFT, "fs": RATE, "low_freq": low, "high_freq": high}
    mel, mel_centers = mel_filter_banks(**options)
    linear, linear_centers = linear_filter_banks(**options)
    for name, bank, centers in (("mel", mel, mel2hz(mel_centers)), ("linear", linear, np.asarray(linear_centers))):
        peaks = bins[bank.argmax(axis=1)]
        print(f"{low} to {high} Hz, {name}: centers", centers.round(), "peaks", peaks.round())
        stretched = (centers - low) * (RATE / 2) / (high - low)
        assert np.abs(peaks - stretched).max() < RATE / FFT
        if (low, high) != (0, 8000):
            assert np.abs(peaks - centers).max() > 2000

tone = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE)
loudest = {}
for high in (8000, 4000):
    options = {"nfilts": 24, "nfft": FFT, "fs": RATE, "low_freq": 0, "high_freq": high}
    spectrogram, _ = mel_spectrogram(tone, pre_emph=False, **options)
    _, centers = mel_filter_banks(**options)
    loudest[high] = mel2hz(centers[spectrogram.mean(axis=0).argmax()])
    print(f"2000 Hz, high_freq {high}: loudest filter at {loudest[high]:.0f} Hz")
assert abs(loudest[8000] - 2000) < 150
assert abs(loudest[4000] - 1000) < 100
PYTHON
