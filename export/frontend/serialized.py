"""A model as the bytes of an ONNX file, which hold 2 GB at most."""

from __future__ import annotations

import onnx_ir as ir

from dashdeploy.errors import InputError

_LARGEST = 2**31 - 2**20
"""Bytes of weights that one message of protobuf takes, with some room for the graph."""


def serialized(model: ir.Model) -> bytes:
    """The bytes of `model`, weights included.

    Raises:
        InputError: they are too many; the spectra of a convolution's taps may be several times its weights.
    """
    tensors = (value.const_value for value in model.graph.initializers.values())
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None)
    if size > _LARGEST:
        raise InputError(
            f"the model would be {size / 1e9:.1f} GB with its convolutions lowered and an ONNX file holds 2 GB; "
            "export it with --lowering direct"
        )
    return bytes(ir.to_proto(model).SerializeToString())
