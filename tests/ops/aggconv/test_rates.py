"""The rates that ``auto`` chooses by: tables, files, and what is measured."""

import dataclasses
import json
import time

import pytest
import torch

from dashdeploy.ops.aggconv.cost import Layer, best_tile, cheapest
from dashdeploy.ops.aggconv.device_rates import measured_rates
from dashdeploy.ops.aggconv.module import AggConv1d
from dashdeploy.ops.aggconv.rates import AMX, AVX512, GPU, NARROW, rates_as_json, rates_from_json, table_for
from dashdeploy.ops.aggconv.taps import tap_plan
from dashdeploy.ops.conv.frame import Frame

CPU = torch.device("cpu")
SPACE = (3, 5, 7, 9), (1, 3, 7, 15)
PLAN = tap_plan(*SPACE, Frame.same(1), (1000,), CPU)
"""40 taps in 4 boxes; the aggregated kernel has 121, 9 for every dilation."""


def layer_by(rates):
    return Layer(PLAN, Frame.same(1), 8, 32, 32, 1, rates)


FREE_CALLS = dict.fromkeys(("direct_calls", "fourier_calls"), 1e-12)
NO_TRANSFORM = {"fft": 1e18, "signal": 1e18, "kernel": 1e18, "product": 1e18, "multiply": 1e18}
INJECTED = [
    # Calls cost nothing and all else is alike: the fewest multiply-adds, four boxes of 9 taps.
    ({**FREE_CALLS, "fft": 1e6}, "per-dilation"),
    # Calls are all that counts: the fewest of them, one convolution.
    ({"direct_calls": 1.0, "fourier_calls": 2.0}, "mixed-weights"),
    # As before, but the one convolution is dear and the Fourier method's calls are few.
    ({"direct_calls": 1.0, "fourier_calls": 0.5}, "fourier"),
    # Everything around the direct convolution is free.
    ({**FREE_CALLS, **NO_TRANSFORM}, "fourier"),
    # Sums of results cost a second an element: one convolution makes none.
    ({**FREE_CALLS, "sum": 1.0, "fft": 1.0}, "mixed-weights"),
]


@pytest.mark.parametrize(("changes", "expected"), INJECTED)
def test_the_rates_of_a_file_decide(tmp_path, changes, expected):
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(rates_as_json(AVX512) | changes))
    rates = rates_from_json(json.loads(path.read_bytes()))
    assert cheapest(layer_by(rates))[0] == expected


def test_a_layer_goes_by_the_rates_that_it_has(monkeypatch):
    called = []
    for name in ("per_dilation", "mixed_weights", "fourier"):
        real = getattr(__import__("dashdeploy.ops.aggconv.module", fromlist=[name]), name)

        def spy(*arguments, name=name, real=real):
            called.append(name.replace("_", "-"))
            return real(*arguments)

        monkeypatch.setattr(f"dashdeploy.ops.aggconv.module.{name}", spy)
    layer = AggConv1d(32, 32, *SPACE)
    x = torch.randn(8, 32, 1000)
    for changes, expected in INJECTED:
        layer.rates = dataclasses.replace(AVX512, **changes)
        layer(x)
        assert called.pop() == expected


def test_on_the_cpu_the_table_is_the_default():
    known = AVX512 if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else NARROW
    assert table_for("cpu") == table_for("mps") == known
    assert table_for("cuda") == GPU
    by_table = layer_by(known)
    for method, expected in (("auto", cheapest(by_table)), ("fourier", ("fourier", best_tile(by_table)))):
        layer = AggConv1d(32, 32, *SPACE, method=method)
        assert layer.computation(PLAN, 8, CPU) == expected


@pytest.mark.parametrize("tiles", [True, False])
def test_bfloat16_has_a_table_of_its_own_where_the_processor_has_tiles_for_it(monkeypatch, tiles):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    assert (table_for("cpu", torch.bfloat16) == AMX) is tiles
    assert table_for("cpu") == table_for("cpu", torch.float16) != AMX
    assert table_for("cuda", torch.bfloat16) == GPU


@pytest.mark.parametrize(
    ("channels", "length", "batch", "space", "quickest"),
    [
        (48, 2000, 10, ((3, 5, 7, 9), (1, 3, 7, 15)), "per-dilation"),
        (48, 2000, 10, ((3, 5, 7, 9), (1, 3)), "mixed-weights"),
        (24, 2000, 10, ((9,), (1, 15)), "per-dilation"),
        (64, 500, 16, ((3, 5, 7, 9), (1, 3)), "mixed-weights"),
    ],
)
def test_with_tiles_direct_convolutions_are_taken_as_they_were_measured(
    channels, length, batch, space, quickest
):
    """Measured (docs/decisions.md): spectra took 1.4 to 3 times as long as the quickest."""
    plan = tap_plan(*space, Frame.same(1), (length,), CPU)
    assert cheapest(Layer(plan, Frame.same(1), batch, channels, channels, 1, AMX))[0] == quickest


def test_the_tile_follows_the_rates():
    shortest = best_tile(layer_by(dataclasses.replace(AVX512, kernel=1.0)))
    no_overlap = best_tile(layer_by(dataclasses.replace(AVX512, signal=1.0)))
    # Kernels have the fewest frequencies in the shortest tile of the list that holds the field of 121 positions;
    # signals have the fewest points in one piece, where nothing overlaps.
    assert shortest == 128
    assert no_overlap == 0


OF_A_GPU = rates_as_json(GPU)


@pytest.mark.parametrize(
    "content", [{}, [], OF_A_GPU | {"more": 1.0}, OF_A_GPU | {"fft": 0.0}, OF_A_GPU | {"fft": "x"}]
)
def test_what_is_no_rates_is_refused(content):
    with pytest.raises(ValueError, match=r"not rates of AggConv|is not a rate"):
        rates_from_json(content)
    assert rates_from_json(rates_as_json(GPU)) == GPU


def test_a_device_is_measured_in_bounded_time():
    started = time.perf_counter()
    rates = measured_rates(CPU, seconds=0.2)
    # Three calls of every piece are a fraction of a second as well; the bound leaves room for a busy machine.
    assert time.perf_counter() - started < 20
    by_name = rates_as_json(rates)
    assert set(by_name) == set(rates_as_json(GPU))
    assert 0 < rates.image_share <= 1
    # Physics: no processor that runs these tests does a thousandth or a thousand times what two cores do.
    for name, value in by_name.items():
        assert 1e-3 < value / getattr(AVX512, name) < 1e3, name


def test_measuring_leaves_the_random_state():
    before = torch.random.get_rng_state()
    measured_rates(CPU, dtype=torch.bfloat16, seconds=0.01)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.gpu
def test_a_gpu_is_measured():
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    rates = measured_rates(torch.device("cuda"), seconds=1)
    assert rates.direct > AVX512.direct
    assert rates.product > AVX512.product
