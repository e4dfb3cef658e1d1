"""Where the data lies, and that a training step makes no GPU wait for the host or the other way round."""

import lightning as L
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from dashdeploy.data.lazy_inputs import lazy
from dashdeploy.data.losses import binary_cross_entropy, relative_l2
from dashdeploy.data.scaling.affine import Affine
from dashdeploy.data.task import Split
from dashdeploy.device_constants import constant_like
from dashdeploy.ops.aggconv.methods import METHODS
from dashdeploy.search.config.phases import phases
from dashdeploy.search.latency.loss_term import LatencyLoss, LatencyTable
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.networks import supernet_of
from dashdeploy.search.training import lightning_module
from dashdeploy.search.training.batches import TensorBatches, pinned_for, placed, shuffled
from dashdeploy.search.training.lightning_module import PhaseModule
from dashdeploy.search.training.trainer import fit, suppress_lightning_logging, trainer_of

ELSEWHERE = torch.device("meta")
"""Torch's device without storage stands for a GPU."""
SPLIT = Split(torch.arange(10.0)[:, None, None], torch.arange(10))  # 40 and 80 bytes


def test_data_goes_where_it_fits():
    assert placed(SPLIT, torch.device("cpu")) is SPLIT
    assert placed(SPLIT, ELSEWHERE, free=479) is SPLIT  # a quarter of it is less than 120
    there = placed(SPLIT, ELSEWHERE, free=480)
    assert {tensor.device for tensor in there} == {ELSEWHERE}
    made = Split(lazy((10, 1, 1), lambda i: torch.full((1, 1), float(i))), torch.arange(10))
    assert placed(made, ELSEWHERE, free=10**9) is made


def test_what_does_not_fit_is_pinned():
    gpu = torch.device("cuda")
    made = Split(lazy((10, 1, 1), lambda i: torch.full((1, 1), float(i))), torch.arange(10))
    assert pinned_for(SPLIT, gpu) == pinned_for(made, gpu) == gpu
    assert pinned_for(SPLIT, torch.device("cpu")) is pinned_for(made, torch.device("cpu")) is None


def test_the_order_is_that_of_the_data_elsewhere():
    """Batches of data on a GPU are chosen by indices on it, which the host does not have to send one by one."""
    there = placed(SPLIT, ELSEWHERE, free=10**9)
    batches = list(TensorBatches(there, 4, order=lambda _: shuffled(10, 0, 0)))
    assert [(inputs.device, tuple(inputs.shape)) for inputs, _ in batches] == [
        (ELSEWHERE, (4, 1, 1)),
        (ELSEWHERE, (4, 1, 1)),
        (ELSEWHERE, (2, 1, 1)),
    ]


def test_batches_that_are_read_ahead_are_the_same(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)  # both need a driver
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    order, gpu = shuffled(10, 0, 0), torch.device("cuda", 1)
    apart, ahead = (
        list(TensorBatches(SPLIT, 4, order=lambda _: order, pinned_for=device)) for device in (None, gpu)
    )
    assert asked == [gpu]
    for (x, y), (inputs, targets) in zip(apart, ahead, strict=True):
        assert torch.equal(x, inputs) and torch.equal(y, targets)


def test_constants_are_made_once_and_are_what_they_were():
    x = torch.randn(2, 3, 4)
    assert constant_like((1.0, 2.0), x) is constant_like((1.0, 2.0), x)
    assert constant_like((1.0, 2.0), x.double()).dtype == torch.float64
    with torch.inference_mode():
        made = constant_like((5.0, 6.0, 7.0), x)
    (made * torch.ones(3, requires_grad=True)).sum().backward()  # it may take part in learning later
    scale = Affine((1.0, 2.0, 3.0), (2.0, 4.0, 8.0))
    torch.testing.assert_close(scale.undo(scale.apply(x)), x)
    program = torch.export.export(Scaled(scale), (x,), strict=False).module()
    torch.testing.assert_close(program(x), scale.undo(x))
    torch.testing.assert_close(scale.undo(x) + 0, scale.undo(x))  # tracing has left no stand-in


class Scaled(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return self.scale.undo(x)


WAITS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal", "aten::lift_fresh")
"""Operators that wait for a GPU: the first is a scalar that is read, which `bool(x.any())` and the like come to; the
last is of tensors that are made of Python's numbers."""


class Watched(L.Callback):
    """Profiles a step after the caches are filled, up to the optimizer's own step."""

    def __init__(self):
        self.profile, self.counts = None, {}

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == 2:
            self.profile = profile(activities=[ProfilerActivity.CPU])
            self.profile.__enter__()

    def on_train_batch_end(self, *_):
        if self.profile is not None:
            self.profile.__exit__(None, None, None)
            self.counts = {event.key: event.count for event in self.profile.key_averages()}
            self.profile = None


@pytest.mark.parametrize("method", METHODS)
def test_no_step_waits(waves_task, small, tmp_path, method):
    """With everything that a step of the search can do; on a CPU the same operators are called as on a GPU."""
    settings = small.model_copy(
        update={
            "method": method,
            "gumbel_noise": True,
            "field_pressure": 0.1,
            "noise": 0.1,
            "mask": 0.1,
            "label_smoothing": 0.1,
            "optimizer": "sgd",
            "search_epochs": 1,
        }
    )
    network = supernet_of(waves_task, settings)[0]
    costs = tuple((1.0,) * len(layer.candidates) for layer in agg_convs(network).values())
    table = LatencyTable(
        "ort-cpu", "it", "estimate", tuple(agg_convs(network)), costs, (1.0,) * len(costs), 0.0
    )
    latency = LatencyLoss(table, weight=0.1, budget=None)
    phase = phases(settings)["search"]
    watched = Watched()
    with suppress_lightning_logging():
        module = PhaseModule(network, waves_task, phase, settings, latency=latency)
        trainer = trainer_of(
            settings, phase, [watched], logger=False, enable_checkpointing=False, default_root_dir=tmp_path
        )
        fit(trainer, module)
    assert watched.counts["aten::exponential_"] == len(costs)  # it has seen the step
    assert {name: watched.counts[name] for name in WAITS if name in watched.counts} == {}


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: binary_cross_entropy(x, (x > 0).long(), positive_weight=3.0),
        lambda x: relative_l2(x, x + 1, units=Affine((0.0,) * 3, (2.0,) * 3)),
    ],
)
def test_no_loss_waits(loss):
    x = torch.randn(4, 3, requires_grad=True)
    loss(x)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        loss(x).backward()
    counts = {event.key for event in seen.key_averages()}
    assert not counts & set(WAITS)


def test_a_phase_learns_from_what_was_placed(waves_task, small, tmp_path, monkeypatch):
    """Before the first batch, once, and for validation too; afterwards it lets go of it."""
    placed_here = []

    def elsewhere(split, device):
        assert device == torch.device("cpu")
        placed_here.append(Split(split.inputs.clone(), split.targets.clone()))
        return placed_here[-1]

    monkeypatch.setattr(lightning_module, "placed", elsewhere)
    phase = phases(small.model_copy(update={"search_epochs": 2}))["search"]
    used = []

    class Look(L.Callback):
        def on_train_batch_start(self, trainer, *_):
            used.append(trainer.train_dataloader.split)

        def on_validation_batch_start(self, trainer, *_):
            used.append(trainer.val_dataloaders.split)

    with suppress_lightning_logging():
        module = PhaseModule(supernet_of(waves_task, small)[0], waves_task, phase, small)
        trainer = trainer_of(
            small, phase, [Look()], logger=False, enable_checkpointing=False, default_root_dir=tmp_path
        )
        fit(trainer, module)
    assert len(placed_here) == 2
    assert {id(split) for split in used} == {id(split) for split in placed_here}
    assert module._train_data is module.train_split
    assert module._validation_data is waves_task.validation
