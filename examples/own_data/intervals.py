"""Your own data: intervals.npz, 52 classes of series of length 2000 that resemble an electrocardiogram.

A class is a pair of intervals, PR (4 values) and QT (13 values). The classes differ in nothing else: the heights of
the waves, the rate of the beats, the baseline and the noise are random. At 250 samples a second, T ends up to 130
samples after the start of P, so a network recognizes a class only if its convolutions reach that far.

    python examples/own_data/intervals.py intervals.npz
    dashdeploy search --data intervals.npz --out runs/intervals
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE, LENGTH = 250, 2000
PR = [0.12 + 0.03 * i for i in range(4)]
QT = [0.30 + 0.012 * i for i in range(13)]
# Center relative to the R peak (P and T follow their interval), width, height.
Q_START, Q, S = -0.04, (-0.025, 0.010, -0.15), (0.025, 0.010, -0.25)
P_WIDTH, R_WIDTH, T_WIDTH = 0.022, 0.011, 0.045

Array = npt.NDArray[np.float64]


def wave(time: Array, center: float, width: float, height: float) -> Array:
    """A Gaussian bump."""
    return height * np.exp(-0.5 * ((time - center) / width) ** 2)


def series(generator: np.random.Generator, label: int) -> Array:
    """One series [LENGTH] of a class."""
    pr, qt = PR[label // len(QT)], QT[label % len(QT)]
    time = np.arange(LENGTH) / RATE
    between = 60 / generator.uniform(55, 90)
    heights = generator.uniform([0.10, 0.8, 0.20], [0.20, 1.2, 0.40])  # P, R, T
    beat = -generator.uniform(0, between)
    found = 0.1 * np.sin(2 * np.pi * (generator.uniform(0.1, 0.4) * time + generator.uniform()))
    while beat < time[-1] + between:
        start = beat + Q_START
        found += wave(time, start - pr + 2 * P_WIDTH, P_WIDTH, heights[0])
        found += wave(time, beat, R_WIDTH, heights[1])
        found += wave(time, beat + Q[0], *Q[1:]) + wave(time, beat + S[0], *S[1:])
        found += wave(time, start + qt - 2 * T_WIDTH, T_WIDTH, heights[2])
        beat += between * generator.uniform(0.95, 1.05)
    return found + 0.03 * generator.standard_normal(LENGTH)


def split(generator: np.random.Generator, each: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """`each` series of every class: [n, 1, LENGTH], and their classes [n]."""
    labels = np.repeat(np.arange(len(PR) * len(QT)), each)
    inputs = np.stack([series(generator, int(label)) for label in labels])[:, None]
    return inputs.astype(np.float32), labels


def main(path: Path, each_train: int = 20, each_test: int = 10) -> None:
    """Write the file, by default with 1040 series for training and 520 for testing."""
    generator = np.random.default_rng(0)
    (x_train, y_train), (x_test, y_test) = split(generator, each_train), split(generator, each_test)
    labels = np.array([f"PR {1e3 * pr:.0f} ms, QT {1e3 * qt:.0f} ms" for pr in PR for qt in QT])
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, labels=labels)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "intervals.npz"))
