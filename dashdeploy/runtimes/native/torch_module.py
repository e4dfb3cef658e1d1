"""The native kernels in torch: an operator of `torch.library` and a module that calls it.

The operator ``dashdeploy::native_model`` runs one ``model.native.onnx``; between its layers nothing is transposed.
It works in eager mode and in `torch.export`. A program that holds it needs this module imported where it runs, and
the file in its place. AOTInductor's C++ runtime has no operators that are written in Python, and cannot run it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dashdeploy.errors import InputError
from dashdeploy.runtimes.native.model import NativeModel


@lru_cache(maxsize=16)
def _loaded(file: str, threads: int, changed: int) -> NativeModel:  # noqa: ARG001 - a file that changed is another one
    return NativeModel(Path(file), threads=threads)


def _model(file: str, threads: int) -> NativeModel:
    try:
        changed = Path(file).stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    return _loaded(file, threads, changed)


@torch.library.custom_op("dashdeploy::native_model", mutates_args=(), device_types="cpu")
def native_model(inputs: list[Tensor], file: str, threads: int) -> list[Tensor]:
    """Run the model of a file.

    Args:
        inputs: the model's, in order; [batch, ...] each, float32.
        file: the path of a ``model.native.onnx``.
        threads: that the call uses.

    Returns:
        The model's outputs, in order.
    """
    model = _model(file, threads)
    if len(inputs) != len(model.inputs):
        raise InputError(f"{file} has {len(model.inputs)} inputs, not {len(inputs)}")
    feeds = {spec.name: x.detach().numpy() for spec, x in zip(model.inputs, inputs, strict=True)}
    outputs = model.run(feeds)
    return [torch.from_numpy(np.ascontiguousarray(outputs[spec.name])) for spec in model.outputs]


@native_model.register_fake
def _shapes(inputs: list[Tensor], file: str, threads: int) -> list[Tensor]:
    model = _model(file, threads)
    batch = inputs[0].shape[0]
    return [
        inputs[0].new_empty([axis if isinstance(axis, int) else batch for axis in spec.shape])
        for spec in model.outputs
    ]


class NativeModule(nn.Module):
    """A bundle's native model as a torch module, for inference.

    Args:
        file: the path of a ``model.native.onnx``.
        threads: that one call uses.

    Raises:
        MissingCapabilityError: the library of the native kernels is not there.
        InputError: the file is damaged, was changed, or is for another version.

    Example:
        ::

            module = NativeModule("bundle/model.native.onnx")
            logits = module(torch.randn(8, 1, 1000))
    """

    def __init__(self, file: str | Path, threads: int = 1) -> None:
        super().__init__()
        self.file = str(Path(file).resolve())
        self.threads = threads
        self._outputs = len(_model(self.file, threads).outputs)

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The output, or a tuple of all of them."""
        outputs = cast("list[Tensor]", native_model(list(inputs), self.file, self.threads))
        return outputs[0] if self._outputs == 1 else tuple(outputs)
