"""What training batches go through, and the loss of what comes out; validation and test data never do.

The same for every network of a run, the supernet, the searched one and the backbone, so that none has an advantage.

Mixup: H. Zhang et al., ICLR 2018 (arXiv 1710.09412), one share per batch. Label smoothing: C. Szegedy et al., CVPR
2016 (arXiv 1512.00567, section 7). Masking hides whole positions from all channels, as SpecAugment does for frames
(D. S. Park et al., arXiv 1904.08779). All draw from torch's global random state, which checkpoints keep.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dashdeploy.backbones.ensemble import members_of
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.training.batches import sent


def check_augmentation(task: Task, settings: RunSettings) -> None:
    """Refuse what the task's targets do not allow.

    Raises:
        InputError: label smoothing of something other than classes.
    """
    if settings.label_smoothing and task.kind != "classification":
        raise InputError(
            f"label_smoothing = {settings.label_smoothing:g}: task {task.name} is {task.kind}, only classes have "
            "labels to smooth; leave it out"
        )


def augmented(inputs: Tensor, task: Task, settings: RunSettings) -> Tensor:
    """Change a batch of inputs [B, channels, *spatial] in ways that leave its targets right."""
    if settings.augment and task.augment is not None:
        inputs = task.augment(inputs)
    if settings.noise:
        inputs = inputs + settings.noise * torch.randn_like(inputs)
    if settings.mask:
        shown = torch.rand(len(inputs), 1, *inputs.shape[2:], device=inputs.device) >= settings.mask
        inputs = inputs * shown
    return inputs


def training_loss(
    network: nn.Module, inputs: Tensor, targets: Tensor, task: Task, settings: RunSettings
) -> Tensor:
    """The loss of a batch in training; of an ensemble, the sum of its members' own, as if each were trained alone.

    Args:
        network: what is trained.
        inputs: [B, channels, *spatial], as the data has them.
        targets: theirs.
        task: the loss, and the augmentation of its own.
        settings: the rest.
    """
    inputs = augmented(inputs, task, settings)
    shares = [(1.0, targets)]
    if settings.mixup:
        share = float(torch.distributions.Beta(settings.mixup, settings.mixup).sample())
        partner = sent(torch.randperm(len(inputs)), inputs.device)
        inputs = share * inputs + (1 - share) * inputs[partner]
        shares = [(share, targets), (1 - share, targets[partner])]
    # From the loss of their mean, the members of an ensemble would come to lean on one another.
    outputs = [member(inputs) for member in members_of(network)]
    losses = [
        share * smoothed_loss(each, theirs, task, settings) for each in outputs for share, theirs in shares
    ]
    return torch.stack(losses).sum()


def smoothed_loss(outputs: Tensor, targets: Tensor, task: Task, settings: RunSettings) -> Tensor:
    """The task's loss; label smoothing mixes in the cross-entropy of a uniform distribution over the classes."""
    loss = task.loss(outputs, targets)
    if not settings.label_smoothing:
        return loss
    uniform = -outputs.log_softmax(1).mean()
    return (1 - settings.label_smoothing) * loss + settings.label_smoothing * uniform
