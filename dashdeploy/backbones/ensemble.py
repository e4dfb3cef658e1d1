"""Several networks of one task as one: what they predict on average.

Networks of one architecture that start with other weights and see the data in another order err in other places. The
mean of their probabilities is right more often than each, and knows better how sure it is: Lakshminarayanan, Pritzel,
Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS 2017 (section 2.4).
Narrow ones may together cost what one wide network does: see `dashdeploy.artifacts.run.Towers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from dashdeploy.data.task import Kind


class Ensemble(nn.Module):
    """The mean of what several networks predict, in a form that takes the place of one network's outputs.

    Args:
        members: take the same inputs and give outputs of the same shape, [B, outputs, …].
        kind: what is predicted. For classes, the output is the logarithm of the mean of the members' probabilities
            (softmax over axis 1): its largest element is the most probable class, and its softmax are the mean
            probabilities. For labels, it is the logit of the mean of their probabilities (sigmoid), whose sigmoid is
            that mean. For numbers, it is their mean.

    Raises:
        KeyError: the kind does not exist.
    """

    def __init__(self, members: Sequence[nn.Module], kind: Kind) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.combine = _COMBINED[kind]

    def forward(self, x: Tensor) -> Tensor:
        """Map inputs [B, channels, *spatial] to [B, outputs, …]."""
        return self.combine(torch.stack([member(x) for member in self.members]))


def members_of(network: nn.Module) -> list[nn.Module]:
    """The members of an `Ensemble`; of another network, itself alone."""
    return list(network.members) if isinstance(network, Ensemble) else [network]


def mean_log_probabilities(logits: Tensor) -> Tensor:
    """log(mean of softmax), [B, classes, …], of the members' logits [members, B, classes, …]."""
    return _log_mean_exp(logits.log_softmax(2))


def mean_label_logits(logits: Tensor) -> Tensor:
    """logit(mean of sigmoid), [B, labels, …], of the members' logits [members, B, labels, …]."""
    # logit(p) = log(p) - log(1 - p), and 1 - sigmoid(x) = sigmoid(-x): no difference of numbers close to 1.
    return _log_mean_exp(_log_sigmoid(logits)) - _log_mean_exp(_log_sigmoid(-logits))


def mean_numbers(outputs: Tensor) -> Tensor:
    """The mean, [B, outputs, …], of the members' outputs [members, B, outputs, …]."""
    return outputs.mean(0)


_COMBINED: Mapping[Kind, Callable[[Tensor], Tensor]] = {
    "classification": mean_log_probabilities,
    "multi-label": mean_label_logits,
    "regression": mean_numbers,
}


# These two are written in operators that are exact on every engine: some compute LogSumExp and Softplus as they are
# defined, and overflow or give the logarithm of 0.


def _log_mean_exp(x: Tensor) -> Tensor:
    """log(mean of exp) over the first axis."""
    largest = x.amax(0)
    return largest + (x - largest).exp().sum(0).log() - math.log(len(x))


def _log_sigmoid(x: Tensor) -> Tensor:
    return x.clamp(max=0) - (1 + (-x.abs()).exp()).log()
