"""How quick a device is at what the computations of an AggConv are made of: the figures that `cost` counts with.

Only their ratios matter. The table of the CPU was fitted to two AVX-512 cores. The table of GPUs is worked out from a
data sheet and measured on none: it is the fallback, and the order of magnitude, for `device_rates.measured_rates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache

import torch


@dataclass(frozen=True)
class Rates:
    """Work per second, and seconds that calls alone take.

    Attributes:
        direct: multiply-adds of torch's direct convolutions over one axis, from `full_channels` channels up.
        full_channels: with fewer, that rate falls with the root of their number.
        image_share: part of that rate that remains over two axes.
        depthwise: as `direct`, if a group has one channel.
        direct_pass: elements of input and output that a direct convolution brings into its own layout and back.
        product: multiply-adds of matrix products.
        fft: points times their binary logarithm that pass through FFTs.
        signal: points and frequencies of signals that are cut into tiles, transposed and put together again.
        kernel: frequencies of kernels and of their gradients that are transposed.
        multiply: frequencies that are multiplied one by one.
        sum: elements that are added up.
        direct_calls: seconds that the calls of one direct convolution take, backward included.
        fourier_calls: the same of the Fourier method.
    """

    direct: float
    full_channels: float
    image_share: float
    depthwise: float
    direct_pass: float
    product: float
    fft: float
    signal: float
    kernel: float
    multiply: float
    sum: float
    direct_calls: float
    fourier_calls: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ValueError(f"{name} = {value!r} is not a rate; use a number above 0")


AVX512 = Rates(
    direct=125e9,
    full_channels=32,
    image_share=0.7,
    depthwise=6e9,
    direct_pass=0.8e9,
    product=60e9,
    fft=12e9,
    signal=1.4e9,
    kernel=0.4e9,
    multiply=0.7e9,
    sum=2e9,
    direct_calls=0.06e-3,
    fourier_calls=0.3e-3,
)
"""Two cores with AVX-512, by measurement."""

NARROW = replace(AVX512, direct=60e9)
"""The same where torch has no AVX-512, which direct convolutions gain more by than products of this size."""

AMX = Rates(
    direct=400e9,
    full_channels=64,
    image_share=1.0,
    depthwise=3e9,
    direct_pass=1e9,
    product=30e9,
    fft=6e9,
    signal=0.7e9,
    kernel=0.2e9,
    multiply=0.35e9,
    sum=1e9,
    direct_calls=0.06e-3,
    fourier_calls=0.3e-3,
)
"""One core with AMX, by measurement: direct convolutions are computed in bfloat16 with the channels last, spectra in
float32."""

GPU = Rates(
    direct=4.9e12,
    full_channels=64,
    image_share=1.0,
    depthwise=250e9,
    direct_pass=125e9,
    product=4.9e12,
    fft=625e9,
    signal=60e9,
    kernel=60e9,
    multiply=40e9,
    sum=80e9,
    direct_calls=0.1e-3,
    fourier_calls=0.6e-3,
)
"""A GPU that nobody has measured, worked out for an A100 (19.5e12 fp32 operations per second without tensor cores,
2.0e12 bytes per second) with half of either peak: 9.75e12 multiply-adds halved; 8 bytes for an element that is read
and written, 12 for a sum of two, 16 for a complex one that is moved, 24 for one that is multiplied; an FFT reads and
writes its points once for every ten halvings; a depthwise convolution is bound by the loads of its taps, two of 4
bytes each served by caches at twice the memory's rate; ten microseconds for each launch: ten of a direct convolution
with its two gradients, sixty of the Fourier method."""


def table_for(device: str, dtype: torch.dtype | None = None) -> Rates:
    """The table of a device class.

    Args:
        device: the type of a torch device: ``cpu``, ``cuda``; others count as the CPU.
        dtype: the precision in which direct convolutions are computed by autocast; None is float32.
    """
    if device == "cuda":
        return GPU
    # A private name, since some supported versions may have no public one.
    return AMX if dtype is torch.bfloat16 and torch.cpu._is_amx_tile_supported() else _cpu()


@cache
def _cpu() -> Rates:
    return AVX512 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else NARROW


def rates_as_json(rates: Rates) -> dict[str, float]:
    """`rates` as JSON has them."""
    return asdict(rates)


def rates_from_json(content: Mapping[str, float]) -> Rates:
    """What `rates_as_json` gave.

    Raises:
        ValueError: it is something else.
    """
    known = {field.name for field in fields(Rates)}
    if not isinstance(content, Mapping) or set(content) != known:
        raise ValueError(f"not rates of AggConv; they are {', '.join(sorted(known))}")
    return Rates(**content)
