"""A Node process that runs models in onnxruntime-web, spoken to in frames over its standard input and output.

A frame is the length of its header (4 bytes, little-endian), the header (JSON), and the bytes that it counts as
``bytes``: ``worker.mjs`` is the other side. One process holds any number of models, so that they share what V8 has
compiled; the number of threads belongs to the process.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import IO, Any

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.runtimes.ort_web.installation import find_node, find_package

_WORKER = Path(__file__).parent / "worker.mjs"
_LENGTH_BYTES = 4
_processes: weakref.WeakValueDictionary[int, NodeProcess] = weakref.WeakValueDictionary()
_starting = Lock()


class NodeProcess:
    """A child process; it ends with the last object that refers to it, or with this process.

    Args:
        threads: of WebAssembly; 0 leaves the choice to onnxruntime-web.

    Attributes:
        version: of onnxruntime-web.
        node: the version of Node.
        pid: of the child.

    Raises:
        MissingCapabilityError: Node or onnxruntime-web is missing, or Node cannot load it.
    """

    def __init__(self, threads: int = 0) -> None:
        command = [str(find_node()), str(_WORKER), str(find_package()), str(threads)]
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._lock = Lock()
        self._released: deque[int] = deque()
        self._finalizer = weakref.finalize(self, _end, self._child, self._stderr)
        self.pid = self._child.pid
        try:
            hello, _ = self._read()
        except InputError as error:
            raise MissingCapabilityError(
                f"Node cannot start onnxruntime-web: {error}; it needs Node.js 18 or newer"
            ) from error
        self.version, self.node = str(hello["version"]), str(hello["node"])

    @property
    def alive(self) -> bool:
        """Whether the child still runs."""
        return self._child.poll() is None

    def ask(
        self, header: dict[str, Any], parts: Sequence[bytes | memoryview]
    ) -> tuple[dict[str, Any], bytearray]:
        """Send a frame and wait for the answer.

        Args:
            header: of the frame, with its ``operation``.
            parts: the bytes behind it.

        Returns:
            The answer's header and bytes.

        Raises:
            InputError: onnxruntime-web refuses, or the child is gone.
        """
        with self._lock:
            released = [self._released.popleft() for _ in range(len(self._released))]
            size = sum(len(part) for part in parts)
            text = json.dumps({**header, "released": released, "bytes": size}).encode()
            pipe = self._child.stdin
            assert pipe is not None
            try:
                pipe.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
                for part in parts:
                    pipe.write(part)
                pipe.flush()
            except OSError as error:
                raise self._gone() from error
            answer, body = self._read()
        if "error" in answer:
            raise InputError(" ".join(str(answer["error"]).split()))
        return answer, body

    def release(self, session: int) -> None:
        """Let go of a model with the next frame; for finalizers, which may run while one is on its way."""
        self._released.append(session)

    def _read(self) -> tuple[dict[str, Any], bytearray]:
        header = json.loads(self._take(int.from_bytes(self._take(_LENGTH_BYTES), "little")))
        return header, self._take(header["bytes"])

    def _take(self, count: int) -> bytearray:
        pipe = self._child.stdout
        assert pipe is not None
        taken = bytearray(count)
        view, filled = memoryview(taken), 0
        while filled < count:
            got = pipe.readinto(view[filled:])  # type: ignore[attr-defined]
            if not got:
                raise self._gone()
            filled += got
        return taken

    def _gone(self) -> InputError:
        code = self._child.wait()
        self._stderr.seek(0)
        lines = [
            line.strip() for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()
        ]
        said = next((line for line in lines if "rror" in line), lines[-1] if lines else "it said nothing")
        how = f"signal {-code}" if code < 0 else f"status {code}"
        return InputError(
            f"the Node process of onnxruntime-web ended with {how}: {said}; load the model again, and if it is "
            "large, know that WebAssembly has 4 GiB of memory"
        )


def shared_process(threads: int) -> NodeProcess:
    """The one process with so many threads; a new one where there is none or it has ended.

    Raises:
        MissingCapabilityError: see `NodeProcess`.
    """
    with _starting:
        known = _processes.get(threads)
        if known is None or not known.alive:
            known = NodeProcess(threads)
            _processes[threads] = known
        return known


def _end(child: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout, stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not flushed has no reader
                continue
