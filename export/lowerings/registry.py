"""The ways to compute a convolution. A new one is one more class here."""

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed

LOWERINGS: tuple[type[Lowering], ...] = (Direct, Trimmed, ToomCook, FFT)
"""In the order in which plans list them."""
