"""Lowered convolutions as torch modules, against torch's own convolution in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dashdeploy.export.lowerings.conv_spec import ConvSpec
from dashdeploy.export.lowerings.cooley_tukey import CooleyTukey
from dashdeploy.export.lowerings.fft import FFT
from dashdeploy.export.lowerings.toom_cook import ToomCook
from dashdeploy.export.lowerings.trimmed import Trimmed
from dashdeploy.export.targets.single_layer import random_weights
from dashdeploy.export.torch.layers import torch_layer

EXACT = 1e-11
"""Of the largest output, in float64: what is left are roundings of a few hundred additions."""


TOLERANCE = {FFT: EXACT, CooleyTukey: EXACT, ToomCook: 1e-12}


def convolve(spec, x, weight, bias):
    """torch's convolution, with the padding of `spec` on either side of its own."""
    pads = [n for lo, hi in zip(spec.pads_begin, spec.pads_end, strict=True) for n in (hi, lo)][::-1]
    function = F.conv1d if spec.rank == 1 else F.conv2d
    return function(F.pad(x, pads), weight, bias, spec.strides, 0, spec.dilations, spec.groups)


@st.composite
def specs(draw, rank):
    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(rank))

    groups = draw(st.integers(1, 2))
    kernel, dilations = per_axis(1, 7), per_axis(1, 4)
    reach = [d * (k - 1) for k, d in zip(kernel, dilations, strict=True)]
    same = draw(st.booleans())
    begin = tuple(r // 2 for r in reach) if same else per_axis(0, 5)
    end = tuple(r - r // 2 for r in reach) if same else per_axis(0, 5)
    spatial = tuple(
        max(n, r + 1 - lo - hi) for n, r, lo, hi in zip(per_axis(1, 40), reach, begin, end, strict=True)
    )
    return ConvSpec(
        in_channels=groups * draw(st.integers(1, 3)),
        out_channels=groups * draw(st.integers(1, 3)),
        groups=groups,
        spatial=spatial,
        kernel=kernel,
        strides=per_axis(1, 3),
        dilations=dilations,
        pads_begin=begin,
        pads_end=end,
        bias=draw(st.booleans()),
        dtype="float64",
        batch=draw(st.integers(1, 3)),
    )


def check(spec, lowering, tolerance=EXACT):
    weight, bias = random_weights(spec)
    generator = np.random.default_rng(1)
    x = torch.from_numpy(generator.standard_normal((spec.batch, spec.in_channels, *spec.spatial)))
    x = x.to(torch.from_numpy(weight).dtype)
    module = torch_layer(lowering, spec, weight, bias)
    assert module is not None
    expected = convolve(spec, x, torch.from_numpy(weight), None if bias is None else torch.from_numpy(bias))
    with torch.no_grad():
        got = module(x)
    assert got.shape == expected.shape
    scale = float(expected.abs().max()) or 1.0
    assert float((got - expected).abs().max()) <= tolerance * scale
    return module, x, expected


@pytest.mark.parametrize(
    ("rank", "kind"), [(1, FFT), (2, FFT), (1, ToomCook), (2, ToomCook), (1, CooleyTukey)]
)
def test_tiled_convolutions_are_exact(rank, kind):
    @settings(max_examples=60 if rank == 1 else 40, deadline=None)
    @given(specs(rank), st.data())
    def exact(spec, data):
        assume(kind.refuses(spec) is None)
        variants = kind.variants(spec)
        check(spec, variants[data.draw(st.integers(0, len(variants) - 1))], TOLERANCE[kind])

    exact()


SPEC = ConvSpec(
    in_channels=4,
    out_channels=6,
    groups=2,
    spatial=(37, 29),
    kernel=(5, 7),
    strides=(1, 2),
    dilations=(3, 1),
    pads_begin=(6, 3),
    pads_end=(6, 3),
    dtype="float32",
    batch=2,
)
ONE_AXIS = SPEC.model_copy(
    update={
        name: getattr(SPEC, name)[:1]
        for name in ("spatial", "kernel", "strides", "dilations", "pads_begin", "pads_end")
    }
)


@pytest.mark.parametrize("kind", [FFT, ToomCook])
@pytest.mark.parametrize("spec", [ONE_AXIS, SPEC], ids=["1d", "2d"])
def test_they_can_be_scripted_traced_and_exported_with_a_dynamic_batch(spec, kind):
    module, x, _ = check(spec, kind.variants(spec)[0], tolerance=2e-6)
    batch = torch.export.Dim("batch")
    forms = [
        torch.jit.script(module),
        torch.jit.trace(module, x),
        torch.export.export(module, (x,), dynamic_shapes=({0: batch},)).module(),
    ]
    for count in (1, 2, 5):
        other = torch.randn(count, *x.shape[1:], generator=torch.Generator().manual_seed(count))
        for form in forms:
            torch.testing.assert_close(form(other), module(other), rtol=0, atol=1e-6)


def test_trimmed_taps_are_gone():
    update = {"kernel": (9,), "dilations": (15,), "spatial": (32,), "pads_begin": (60,), "pads_end": (60,)}
    spec = ONE_AXIS.model_copy(update=update)
    module, _, _ = check(spec, Trimmed(), tolerance=2e-6)
    assert module.weight.shape[2] == 5
