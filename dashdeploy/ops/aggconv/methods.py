"""The ways to compute an AggConv, by name. They give the same function.

The equations are those of Shen, Khodak, Talwalkar (NeurIPS 2022, arXiv 2204.07554):

    mixed-results  (eq. 2)  |K||D| convolutions, then their weighted sum, as in DARTS
    mixed-weights  (eq. 3)  one convolution with the aggregated kernel  sum a[k, d] w[k, d]
    per-dilation            |D| convolutions: kernels of one dilation add up to one of max(K) taps
    fourier        (eq. 4)  the aggregated kernel, with the convolution as a product of spectra
    auto                    whichever of the last three costs least for the layer

A module by itself, without torch, so that the command line and the settings can name them.
"""

from __future__ import annotations

from typing import Literal, get_args

Computation = Literal["mixed-weights", "per-dilation", "fourier"]
"""What ``auto`` chooses from."""

Method = Literal["auto", "fourier", "per-dilation", "mixed-weights", "mixed-results"]

METHODS: tuple[Method, ...] = get_args(Method)
"""In the order in which they are listed and compared."""
