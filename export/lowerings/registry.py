"""The ways to compute a convolution. A new one is one more class here."""

from dashdeploy.export.lowerings.base import Lowering
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed

LOWERINGS: tuple[type[Lowering], ...] = (Direct, Trimmed, ToomCook, FFT)
"""In the order in which plans list them."""


def lowering_of(spec: ConvSpec, label: str) -> Lowering | None:
    """The variant of a lowering that plans call `label`; None where there is none for the convolution."""
    for kind in LOWERINGS:
        if kind.refuses(spec) is not None:
            continue
        for variant in kind.variants(spec):
            for each in (variant, variant.with_grouped_products(spec)):
                if each is not None and each.label == label:
                    return each
    return None
