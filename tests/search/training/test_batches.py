"""Batches: their order, and those of one process and of several."""

import torch

from dashdeploy.data.task import Split
from dashdeploy.search.training.batches import TensorBatches, shuffled


def test_batches_cover_the_data_once():
    split = Split(torch.arange(10.0)[:, None, None], torch.arange(10))
    batches = TensorBatches(split, 4, order=lambda _: shuffled(10, 0, 0))
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


def test_parts_of_batches_make_up_the_batches():
    split = Split(torch.arange(50.0)[:, None], torch.arange(50))
    order = torch.randperm(50)
    whole = [targets for _, targets in TensorBatches(split, 8, order=lambda _: order, drop_last=True)]
    parts = [
        [t for _, t in TensorBatches(split, 8, order=lambda _: order, drop_last=True, rank=r, processes=2)]
        for r in range(2)
    ]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert len(halves[0]) == len(halves[1]) == 4
        torch.testing.assert_close(torch.stack(halves, 1).flatten(), batch)
    seen = [t for r in range(3) for _, t in TensorBatches(split, 8, rank=r, processes=3)]
    assert sorted(torch.cat(seen).tolist()) == list(range(50))


def test_an_epoch_of_several_passes_sees_the_data_in_a_new_order_each_time():
    split = Split(torch.arange(10.0)[:, None, None], torch.arange(10))
    batches = TensorBatches(split, 5, order=lambda number: shuffled(10, 0, number), passes=3)
    seen = torch.cat([targets for _, targets in batches])
    assert len(batches) == 6 and len(seen) == 30
    passes = seen.view(3, 10).tolist()
    assert all(sorted(each) == list(range(10)) for each in passes)
    assert passes == [shuffled(10, 0, number).tolist() for number in range(3)]
