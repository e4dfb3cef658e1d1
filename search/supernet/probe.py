"""One forward pass through the original network: what each convolution meets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dashdeploy.errors import InputError, first_line
from dashdeploy.ops.conv.frame import pads_itself

SAMPLES = 2


@dataclass(frozen=True)
class Seen:
    """What one convolution was seen to do.

    Attributes:
        spatial: extents of its input.
        out: extents of its output.
        causal: whether its outputs see no later input: it pads (k - 1) d on both sides and the end is cut off
            later, or its input comes with zeros in front alone, or it is a subclass that behaves so.
    """

    spatial: tuple[int, ...]
    out: tuple[int, ...]
    causal: bool


def probe(model: nn.Module, input_shape: Sequence[int]) -> dict[str, Seen]:
    """Run `model` once on random input and look at every ``nn.Conv1d`` and ``nn.Conv2d``.

    Args:
        model: the backbone; its state and the random state are left as they were.
        input_shape: shape of one sample.

    Returns:
        What was seen, by qualified name; what the forward pass never uses is missing.

    Raises:
        InputError: the model does not take such input.
    """
    seen: dict[str, Seen] = {}
    handles = []

    def look(name: str, conv: nn.Conv1d | nn.Conv2d, x: Tensor, y: Tensor) -> None:
        seen[name] = Seen(tuple(x.shape[2:]), tuple(y.shape[2:]), _is_causal(conv, x, y))

    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv1d, nn.Conv2d)):
            handles.append(
                module.register_forward_hook(
                    lambda module, args, output, name=name: look(name, module, args[0], output)
                )
            )
    try:
        run_once(model, input_shape)
    except FAILURES as error:
        raise InputError(
            f"the backbone does not take samples of shape {list(input_shape)}: {first_line(error)}; choose another "
            "`backbone` or other arguments for it"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return seen


FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)
"""What a network raises that does not take its input."""


def run_once(model: nn.Module, input_shape: Sequence[int]) -> Tensor:
    """The output of `model` in evaluation mode for random input; its state and the random state stay.

    Raises:
        one of `FAILURES`, if the model does not take such input.
    """
    training = model.training
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            output: Tensor = model.eval()(torch.randn(SAMPLES, *input_shape))
            return output
    finally:
        model.train(training)


def leaves_unused(model: nn.Module, input_shape: Sequence[int]) -> bool:
    """Whether some of the parameters have no influence on the output; the model and the random state stay."""
    training = model.training
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            output: Tensor = model.eval()(torch.randn(SAMPLES, *input_shape))
            gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
            return any(gradient is None for gradient in gradients)
    finally:
        model.train(training)


def _is_causal(conv: nn.Conv1d | nn.Conv2d, x: Tensor, y: Tensor) -> bool:
    if len(conv.kernel_size) != 1:
        return False
    span = int(conv.dilation[0]) * (int(conv.kernel_size[0]) - 1)
    if pads_itself(conv):
        later = x.clone()
        later[..., -1] += 1
        return bool(torch.equal(type(conv).forward(conv, later)[..., :-1], y[..., :-1]))  # type: ignore[arg-type]
    pad = 0 if conv.padding in ("same", "valid") else int(conv.padding[0])
    if span and pad == span:
        return True
    if conv.padding == "same" or pad or not span or x.shape[-1] <= span:
        return False
    return not x[..., :span].any() and bool(x[..., -span:].any())
