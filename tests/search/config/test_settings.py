"""Settings, schedules and batches."""

import pytest
import torch
from pydantic import ValidationError

from dashdeploy.data.task import Split
from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import PRESETS, SearchSettings
from dashdeploy.search.training.batches import TensorBatches, shuffled
from dashdeploy.search.training.schedule import one_cycle, step


def test_presets_hold_the_paper_s_search_space():
    for name in PRESETS:
        settings = SearchSettings.preset(name)
        assert (settings.kernel_sizes, settings.dilations) == ((3, 5, 7, 9), (1, 3, 7, 15))
    paper = SearchSettings.preset("paper")
    assert (paper.search_epochs, paper.search_share, paper.retrain_epochs) == (100, 0.2, 200)


def test_overrides_and_immutability():
    settings = SearchSettings.preset("quick", kernel_sizes=[3, 11], seed=4)
    assert (settings.kernel_sizes, settings.seed) == ((3, 11), 4)
    with pytest.raises(ValidationError):
        settings.seed = 5


def test_every_setting_is_documented():
    text = SearchSettings.__doc__
    assert [name for name in SearchSettings.model_fields if f"        {name}: " not in text] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"kernel_sizes": ()}, "kernel_sizes = ()"),
        ({"kernel_sizes": (3, 0)}, "kernel_sizes.1 = 0: Input should be greater than or equal to 1"),
        ({"dilations": (1, 3, 3)}, "dilations = (1, 3, 3): [1, 3, 3] names a value twice; name each once"),
        ({"learning_rate": -1}, "learning_rate = -1: Input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"method": "magic"}, "method = 'magic'"),
        ({"retrain_epoch": 3}, "retrain_epoch: no such setting; did you mean retrain_epochs?"),
        ({"zzz": 3}, "zzz: no such setting; fields are backbone, width"),
    ],
)
def test_what_is_wrong_with_a_setting_is_one_line(overrides, message):
    with pytest.raises(InputError) as caught:
        SearchSettings.preset("quick", **overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="--preset slow: no such preset; choose from quick, paper"):
        SearchSettings.preset("slow")


def test_one_cycle_is_torch_s():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1)
    # torch counts the last step as progress 1 and warms up until step 0.3 * 1000 - 1.
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=1001, final_div_factor=400)
    for i in range(1000):
        assert one_cycle(i / 1000) == pytest.approx(optimizer.param_groups[0]["lr"], abs=6e-3)
        optimizer.step()
        cycle.step()


def test_step_falls_after_each_milestone():
    factors = [step(epoch / 200) for epoch in (0, 30, 31, 61, 91, 121, 161, 200)]
    assert factors == pytest.approx([1, 1, 0.2, 0.04, 0.008, 0.0016, 0.00032, 0.00032])


def test_batches_cover_the_data_once():
    split = Split(torch.arange(10.0)[:, None, None], torch.arange(10))
    batches = TensorBatches(split, 4, order=lambda: shuffled(10, 0, 0))
    parts = list(batches)
    assert [len(targets) for _, targets in parts] == [4, 4, 2] and len(batches) == 3
    assert sorted(torch.cat([targets for _, targets in parts]).tolist()) == list(range(10))
    assert all(torch.equal(inputs.flatten().long(), targets) for inputs, targets in parts)
    assert len(list(TensorBatches(split, 4, drop_last=True))) == 2
    assert len(list(TensorBatches(split, 2, share=0.4))) == 2
    assert len(list(TensorBatches(split, 4, share=0.01))) == 1


def test_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(0)
    first = shuffled(50, 3, 1)
    torch.manual_seed(1)
    assert torch.equal(first, shuffled(50, 3, 1))
    assert not torch.equal(first, shuffled(50, 3, 2))
    assert not torch.equal(first, shuffled(50, 4, 1))
    assert not torch.equal(shuffled(50, 2**32 - 1, 1), shuffled(50, 2**32 - 2, 1))
