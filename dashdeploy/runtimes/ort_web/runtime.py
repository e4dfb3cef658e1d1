"""onnxruntime-web in Node: the engine that browsers have, on this machine's CPU."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.ort_web.installation import find_node, find_package, node_version, pinned_version
from dashdeploy.runtimes.ort_web.node_process import shared_process


class OrtWeb:
    """A model in onnxruntime-web's WebAssembly backend, in a Node process that models share.

    Args:
        model: the path of an ``.onnx`` file without external data, or a serialized model.
        threads: of WebAssembly; None leaves the choice to onnxruntime-web.

    Attributes:
        inside_nanoseconds: how long the last run took inside Node, without the way there and back.

    Raises:
        MissingCapabilityError: Node or onnxruntime-web is missing.
        InputError: onnxruntime-web refuses the model.
    """

    def __init__(self, model: Path | bytes, *, threads: int | None = None) -> None:
        self._process = shared_process(threads or 0)
        where = "the model" if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else model.read_bytes()
        try:
            answer, _ = self._process.ask({"operation": "load"}, [content])
        except InputError as error:
            raise InputError(f"onnxruntime-web cannot load {where}: {error}") from error
        self._session: int = answer["session"]
        weakref.finalize(self, self._process.release, self._session).atexit = False
        self.threads = int(answer["threads"])
        self.inside_nanoseconds = 0
        self.inputs, self.outputs = _specs(answer["inputs"]), _specs(answer["outputs"])

    @staticmethod
    def engine_version() -> str:
        """The pinned version, and Node's.

        Raises:
            MissingCapabilityError: Node or onnxruntime-web is missing.
        """
        node, _ = find_node(), find_package()
        return f"{pinned_version()} in Node {node_version(node)}"

    @property
    def process(self) -> int:
        """The process that runs the model."""
        return self._process.pid

    def processor_nanoseconds(self) -> int | None:
        """What the process's main thread has taken of the processor so far; None where the system does not tell."""
        try:
            text = Path(f"/proc/{self.process}/task/{self.process}/schedstat").read_text(encoding="ascii")
        except OSError:
            return None
        return int(text.split()[0])

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            InputError: onnxruntime-web refuses the inputs, or its process is gone.
        """
        arrays = {spec.name: np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs}
        tensors = [
            {"name": name, "dtype": array.dtype.name, "shape": array.shape, "bytes": array.nbytes}
            for name, array in arrays.items()
        ]
        header = {"operation": "run", "session": self._session, "tensors": tensors}
        answer, body = self._process.ask(header, [array.tobytes() for array in arrays.values()])
        self.inside_nanoseconds = int(answer["nanoseconds"])
        results: dict[str, Array] = {}
        start = 0
        for tensor in answer["tensors"]:
            dtype = np.dtype(tensor["dtype"])
            count = tensor["bytes"] // dtype.itemsize
            results[tensor["name"]] = np.frombuffer(body, dtype, count, start).reshape(tensor["shape"])
            start += tensor["bytes"]
        return results

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        version = f"{self._process.version} in Node {self._process.node}"
        return f"onnxruntime-web {version}, CPU, {self.threads} thread(s)"


def _specs(described: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name=each["name"],
            shape=tuple(
                axis if isinstance(axis, int) and axis >= 0 else str(axis or f"{each['name']}_axis_{i}")
                for i, axis in enumerate(each["shape"])
            ),
            dtype=each["dtype"],
        )
        for each in described
    )
