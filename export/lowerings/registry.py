"""The ways to compute a convolution. A new one is one more class here."""

from typing import get_args

from dashdeploy.export.lowerings.base import Lowering, ProductForm
from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.direct import Direct
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed

LOWERINGS: tuple[type[Lowering], ...] = (Direct, Trimmed, ToomCook, FFT, CooleyTukey)
"""In the order in which plans list them."""


def lowering_of(spec: ConvSpec, label: str) -> Lowering | None:
    """The variant of a lowering that plans call `label`; None where there is none for the convolution."""
    for kind in LOWERINGS:
        if kind.refuses(spec) is not None:
            continue
        for variant in kind.variants(spec):
            others = (variant.with_products(form, spec) for form in get_args(ProductForm))
            for each in (variant, *others):
                if each is not None and each.label == label:
                    return each
    return None
