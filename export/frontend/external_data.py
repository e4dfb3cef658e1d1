"""The external data of an ONNX file: tensors that lie in files beside it (onnx's docs/ExternalData.md)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx

from dashdeploy.errors import InputError


def external_files(model: bytes) -> list[str]:
    """The files that a model refers to, relative to its folder, each once."""
    return sorted(set(_locations(onnx.load_model_from_string(model))))


def copy_with_external_data(path: Path, original: bytes, to: Path) -> None:
    """Write a model's bytes to `to`, and the files it refers to where it will look for them.

    Args:
        path: where the model was read.
        original: its bytes.
        to: the file to write; its folder exists.

    Raises:
        InputError: a file of external data has the name of `to`.
    """
    for name in external_files(original):
        copy = to.parent / name
        if copy == to:
            raise InputError(
                f"{path}: its external data lies in a file called {name}, as the copy of the model will be; "
                "save the model again with another name for its data"
            )
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / name, copy)
    to.write_bytes(original)


def _locations(message: Any) -> Iterator[str]:  # noqa: ANN401 - any protobuf message
    if isinstance(message, onnx.TensorProto):
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for child in [value] if hasattr(value, "ListFields") else value:
                yield from _locations(child)
