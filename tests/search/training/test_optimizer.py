"""How learning rates change over a phase."""

import pytest
import torch

from dashdeploy.search.training.optimizer import one_cycle, step


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
