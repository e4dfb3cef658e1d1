"""How learning rates change over a phase."""

import pytest
import torch

from dashdeploy.search.config.phases import phases
from dashdeploy.search.training.optimizer import one_cycle, optimizer_of, step


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


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_optimizers_are_torch_s(small, name):
    """The weights with their decay and rate, and the architecture parameters with theirs."""
    settings = small.model_copy(update={"optimizer": name, "weight_decay": 0.01, "alpha_learning_rate": 0.2})
    start = torch.tensor([1.0, -2.0])
    weight, alpha, plain, other = (torch.nn.Parameter(start.clone()) for _ in range(4))
    network = torch.nn.ParameterList([weight, alpha])
    ours = optimizer_of(network, [alpha], phases(settings)["search"], settings)
    rate = phases(settings)["search"].learning_rate
    if name == "adam":
        theirs = [
            torch.optim.AdamW([plain], rate, betas=(0.9, 0.999), weight_decay=0.01),
            torch.optim.AdamW([other], 0.2, betas=(0.9, 0.999), weight_decay=0.0),
        ]
    else:
        theirs = [
            torch.optim.SGD([plain], rate, momentum=0.9, nesterov=True, weight_decay=0.01),
            torch.optim.SGD([other], 0.2, momentum=0.9, nesterov=True),
        ]
    for step_number in range(5):
        for parameter in (weight, alpha, plain, other):
            parameter.grad = torch.tensor([0.3, -0.1]) * (step_number + 1)
        ours.step()
        for each in theirs:
            each.step()
    torch.testing.assert_close(weight, plain)
    torch.testing.assert_close(alpha, other)
    assert not torch.equal(weight, start)
