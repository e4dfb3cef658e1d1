"""The ways to compute a convolution. A new one is one more class here."""

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT

LOWERINGS: tuple[type[Lowering], ...] = (Direct, FFT)

__all__ = ["FFT", "LOWERINGS", "Direct", "Lowering"]
