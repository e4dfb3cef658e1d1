"""onnxruntime-web in Node: the engine of a browser, WebAssembly, without the browser."""

from __future__ import annotations

import json
import struct
import subprocess
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from dashdeploy.artifacts.tensor_spec import TensorSpec
from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.base import Array
from dashdeploy.web.onnxruntime_web import find_node, web_folder, what_is_missing

_MAGIC = b"ORTW"
_TEXT = "string"


class OnnxRuntimeWeb:
    """A model in onnxruntime-web, in a process of Node.

    Args:
        model: the path of an ``.onnx`` file, or a serialized model.
        threads: threads of inference; a page that is not isolated from other origins has one.

    Attributes:
        milliseconds: what the last run took in Node, without the way there and back.

    Raises:
        MissingCapabilityError: Node or onnxruntime-web is not installed.
        InputError: onnxruntime-web refuses the model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        missing = what_is_missing(to_run=True)
        if missing is not None:
            raise MissingCapabilityError(missing)
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._process = subprocess.Popen(
            [str(find_node()), str(web_folder() / "run_in_node.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        self._said = bytearray()
        assert self._process.stderr is not None
        threading.Thread(target=_drain, args=(self._process.stderr, self._said), daemon=True).start()
        self._close = weakref.finalize(self, _end, self._process)
        model_frame: list[dict[str, Any]] = [{"size": len(content)}]
        try:
            loaded, _ = self._exchange({"threads": threads, "tensors": model_frame}, content)
        except RuntimeError as error:
            self.close()
            where = "the model" if isinstance(model, bytes) else str(model)
            raise InputError(f"onnxruntime-web cannot load {where}: {error}") from error
        self._description = f"onnxruntime-web {loaded['version']}, Node {loaded['node']}, {threads} thread(s)"
        self.inputs = tuple(map(_spec, loaded["inputs"]))
        self.outputs = tuple(map(_spec, loaded["outputs"]))
        self.milliseconds = 0.0

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run the model once; see `Runtime.run`.

        Raises:
            RuntimeError: the engine refuses the inputs.
        """
        arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in feeds.items()}
        tensors = [_described(name, array) for name, array in arrays.items()]
        payload = b"".join(array.tobytes() for array in arrays.values() if array.dtype.kind != "O")
        with self._lock:
            header, answer = self._exchange({"tensors": tensors}, payload)
            self.milliseconds = float(header["ms"])
        return _arrays(header["tensors"], answer)

    def describe(self) -> str:
        """The engine, its version and its device, in one line."""
        return self._description

    def close(self) -> None:
        """End the process; also done when nobody refers to this object."""
        self._close()

    def _exchange(self, header: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            text = json.dumps(header).encode()
            stdin.write(_MAGIC + struct.pack("<I", len(text)) + text)
            stdin.write(payload)
            stdin.flush()
            (length,) = struct.unpack("<I", _after_magic(stdout))
            answer: dict[str, Any] = json.loads(_exactly(stdout, length))
        except (OSError, EOFError, ValueError) as error:
            said = " ".join(bytes(self._said).decode(errors="replace").split())
            raise RuntimeError(said or f"the process of Node ended: {error!r}") from error
        if "error" in answer:
            raise RuntimeError(" ".join(str(answer["error"]).split()))
        return answer, _exactly(stdout, sum(each["size"] for each in answer.get("tensors", ())))


def _described(name: str, array: Array) -> dict[str, Any]:
    if array.dtype.kind == "O":
        text = [each.decode() if isinstance(each, bytes) else str(each) for each in array.ravel()]
        return {"name": name, "type": _TEXT, "dims": array.shape, "size": 0, "text": text}
    return {"name": name, "type": array.dtype.name, "dims": array.shape, "size": array.nbytes}


def _arrays(tensors: list[dict[str, Any]], payload: bytes) -> dict[str, Array]:
    found: dict[str, Array] = {}
    at = 0
    for each in tensors:
        if each["type"] == _TEXT:
            array: Array = np.array(each["text"], object)
        else:
            array = np.frombuffer(payload[at : at + each["size"]], np.dtype(each["type"])).copy()
        found[each["name"]] = array.reshape(each["dims"])
        at += each["size"]
    return found


def _spec(found: dict[str, Any]) -> TensorSpec:
    name, kind = str(found["name"]), str(found["type"])
    # An axis without a name is an empty string.
    axes = [
        axis if isinstance(axis, int) else axis or f"{name}_axis_{i}" for i, axis in enumerate(found["shape"])
    ]
    return TensorSpec(name=name, shape=tuple(axes), dtype="object" if kind == _TEXT else kind)


def _after_magic(stream: IO[bytes]) -> bytes:
    """The four bytes behind the next magic; what comes before it, the engine printed by itself."""
    seen = b""
    while not seen.endswith(_MAGIC):
        seen = seen[-len(_MAGIC) :] + _exactly(stream, 1)
    return _exactly(stream, 4)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("no answer")
    return content


def _drain(stream: IO[bytes], into: bytearray) -> None:
    """Keep the last of what a process says, so that its pipe never fills up."""
    for line in stream:
        into += line
        del into[:-2000]
    stream.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent yet has nobody to go to
                stream.close()
