"""The quickest computation of each layer, timed; and that a layer goes by it."""

import time

import pytest
import torch

from dashdeploy.ops.aggconv import layer_choices, module
from dashdeploy.ops.aggconv.cost import Layer, cheapest
from dashdeploy.ops.aggconv.layer_choices import choices_as_json, choices_from_json, measured_choices
from dashdeploy.ops.aggconv.module import AggConv1d
from dashdeploy.ops.aggconv.rates import table_for
from dashdeploy.ops.aggconv.taps import tap_plan

CPU = torch.device("cpu")
TABLE = table_for("cpu")
WAYS = ("per-dilation", "mixed-weights", "fourier")


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return [AggConv1d(4, 4, (3, 5), (1, 3)) for _ in range(2)] + [AggConv1d(4, 6, (3, 5), (1, 3))]


def test_distinct_layers_are_timed_once_and_stay(layers, monkeypatch):
    timed = []
    monkeypatch.setattr(layer_choices, "seconds_of", lambda run, *_: timed.append(run()) or 1.0)
    before, random = [layer.state_dict() for layer in layers], torch.random.get_rng_state()
    found = measured_choices([(layer, (40,)) for layer in layers], 3, CPU, TABLE)
    assert list(found) == [layers[0].signature((40,), 3), layers[2].signature((40,), 3)]
    assert len(timed) == 2 * len(WAYS)
    assert torch.equal(torch.random.get_rng_state(), random)
    for layer, state in zip(layers, before, strict=True):
        assert layer.choices == {}
        assert all(torch.equal(value, state[name]) for name, value in layer.state_dict().items())


@pytest.mark.parametrize("quickest", WAYS)
def test_the_quickest_is_chosen_and_taken(layers, monkeypatch, quickest):
    called = []
    for name in ("per_dilation", "mixed_weights", "fourier"):
        real = getattr(module, name)

        def spy(*arguments, name=name, real=real):
            called.append(name.replace("_", "-"))
            return real(*arguments)

        monkeypatch.setattr(module, name, spy)

    def seconds(run, *_):
        called.clear()
        run()
        return 1.0 if called == [quickest] else 2.0

    monkeypatch.setattr(layer_choices, "seconds_of", seconds)
    layer = layers[0]
    layer.choices = measured_choices([(layer, (40,))], 3, CPU, TABLE)
    x = torch.randn(3, 4, 40)
    called.clear()
    layer(x)
    assert called == [quickest]
    # For another batch or length nothing was timed: the count serves.
    for other in (torch.randn(2, 4, 40), torch.randn(3, 4, 41)):
        called.clear()
        layer(other)
        plan = tap_plan((3, 5), (1, 3), layer.frame, tuple(other.shape[2:]), CPU)
        assert called == [cheapest(Layer(plan, layer.frame, len(other), 4, 4, 1, TABLE))[0]]


def test_a_method_that_is_fixed_stays(layers):
    layer = layers[0]
    layer.choices = {layer.signature((40,), 3): ("fourier", 0)}
    layer.method = "per-dilation"
    plan = tap_plan((3, 5), (1, 3), layer.frame, (40,), CPU)
    assert layer.computation(plan, 3, CPU) == ("per-dilation", 0)


def test_what_needs_too_much_memory_is_left_out(layers, monkeypatch):
    def seconds(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(layer_choices, "seconds_of", seconds)
    found = measured_choices([(layers[0], (40,))], 3, CPU, TABLE)
    plan = tap_plan((3, 5), (1, 3), layers[0].frame, (40,), CPU)
    assert list(found.values()) == [cheapest(Layer(plan, layers[0].frame, 3, 4, 4, 1, TABLE))]


def test_a_device_is_timed_in_bounded_time(layers):
    started = time.perf_counter()
    found = measured_choices(
        [(layer, (40,)) for layer in layers], 3, CPU, TABLE, dtype=torch.bfloat16, seconds=0.2
    )
    assert time.perf_counter() - started < 20
    assert {method for method, _ in found.values()} <= set(WAYS)


def test_signatures_tell_layers_apart():
    one = AggConv1d(4, 4, (3, 5), (1, 3))
    others = [
        AggConv1d(4, 6, (3, 5), (1, 3)),
        AggConv1d(4, 4, (3, 5), (1, 3), groups=4),
        AggConv1d(4, 4, (3,), (1, 3)),
        AggConv1d(4, 4, (3, 5), (1, 7)),
    ]
    names = {layer.signature((40,), 3) for layer in (one, *others)}
    names |= {one.signature((41,), 3), one.signature((40,), 4)}
    assert len(names) == 7
    assert AggConv1d(4, 4, (3, 5), (1, 3)).signature((40,), 3) in names


def test_they_are_read_as_they_were_written():
    choices = {"a": ("fourier", 128), "b": ("per-dilation", 0)}
    assert choices_from_json(choices_as_json(choices)) == choices
    for wrong in ([], {"a": "fourier"}, {"a": ["fourier"]}, {"a": ["slow", 0]}, {"a": ["fourier", -1]}):
        with pytest.raises(ValueError, match=r"not choices|does not name a computation"):
            choices_from_json(wrong)


@pytest.mark.gpu
def test_layers_are_timed_on_a_gpu(layers):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    found = measured_choices(
        [(layer, (400,)) for layer in layers], 8, torch.device("cuda"), table_for("cuda")
    )
    assert len(found) == 2
