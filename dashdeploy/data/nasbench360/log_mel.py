"""Log-mel spectrograms of one second of sound, as the FSD50K baseline has them (Fonseca et al., arXiv 2010.00475).

The arithmetic is that of torchaudio's MelSpectrogram (mel scale of HTK, power 2, reflected borders) and librosa's
power_to_db with the settings of NAS-Bench-360.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

RATE = 22050
WINDOW, HOP = int(RATE * 0.03), int(RATE * 0.01)
MELS = 96
FFT = 20 * MELS
FRAMES = 101
RANGE_DB = 80.0  # what is further below the loudest is cut
LEAST_POWER = 1e-10


def log_mel(sound: Tensor) -> Tensor:
    """Map sound [samples], -1 to 1, to decibels [96, frames] with mean 0."""
    spectrum = torch.stft(
        sound,
        FFT,
        HOP,
        WINDOW,
        window=torch.hann_window(WINDOW),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = mel_filters() @ spectrum.abs().square()
    decibels = 10 * power.clamp_min(LEAST_POWER).log10()
    decibels = decibels.clamp_min(float(decibels.max()) - RANGE_DB)
    return decibels - decibels.mean()


@cache
def mel_filters() -> Tensor:
    """Triangles [96, frequencies] between points that are equally far apart in mel, 2595 log10(1 + f / 700)."""
    frequencies = torch.linspace(0, RATE // 2, FFT // 2 + 1)
    highest = 2595 * torch.log10(torch.tensor(1 + (RATE // 2) / 700))
    points = 700 * (10 ** (torch.linspace(0, float(highest), MELS + 2) / 2595) - 1)
    steps = points[1:] - points[:-1]
    distances = points[:, None] - frequencies
    rising, falling = -distances[:-2] / steps[:-1, None], distances[2:] / steps[1:, None]
    return torch.minimum(rising, falling).clamp_min(0)
