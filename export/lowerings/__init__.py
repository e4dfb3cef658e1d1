"""The ways to compute a convolution. A new one is one more class here."""

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.trimmed import Trimmed

LOWERINGS: tuple[type[Lowering], ...] = (Direct, Trimmed, FFT)

__all__ = ["FFT", "LOWERINGS", "Direct", "Lowering", "Trimmed"]
