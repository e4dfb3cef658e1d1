"""Batches of one process and of several."""

import torch

from dashdeploy.data.task import Split
from dashdeploy.search.training.batches import TensorBatches


def test_parts_of_batches_make_up_the_batches():
    split = Split(torch.arange(50.0)[:, None], torch.arange(50))
    order = torch.randperm(50)
    whole = [targets for _, targets in TensorBatches(split, 8, order=lambda: order, drop_last=True)]
    parts = [
        [t for _, t in TensorBatches(split, 8, order=lambda: order, drop_last=True, rank=r, processes=2)]
        for r in range(2)
    ]
    for batch, *halves in zip(whole, *parts, strict=True):
        assert len(halves[0]) == len(halves[1]) == 4
        torch.testing.assert_close(torch.stack(halves, 1).flatten(), batch)
    seen = [t for r in range(3) for _, t in TensorBatches(split, 8, rank=r, processes=3)]
    assert sorted(torch.cat(seen).tolist()) == list(range(50))
