"""The ways to compute a convolution. A new one is one more class here."""

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft1d import FFT1d

LOWERINGS: tuple[type[Lowering], ...] = (Direct, FFT1d)

__all__ = ["LOWERINGS", "Direct", "FFT1d", "Lowering"]
