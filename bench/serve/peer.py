"""Another server to compare with: MLServer, installed into an environment of its own and run from there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.progress import Progress

_PACKAGES = ("mlserver==1.7.1", "onnxruntime")
_READY_SECONDS = 90

_RUNTIME = '''\
"""The peer's engine: ONNX Runtime with one thread, as in the server that it is compared with."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxModel(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        self._names = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload):
        feeds = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        outputs = self._session.run(self._names, feeds)
        encoded = [NumpyCodec.encode_output(name, value) for name, value in zip(self._names, outputs)]
        return InferenceResponse(model_name=self.name, outputs=encoded)
'''


class Peer:
    """MLServer in a virtual environment of its own.

    Args:
        environment: the folder of the environment; it is made if it is not there.
        progress: told in one line when it is being made.
    """

    name = "MLServer"

    def __init__(self, environment: Path, *, progress: Progress) -> None:
        self._environment = environment
        self._progress = progress

    @contextmanager
    def serve(self, model: Path, name: str) -> Iterator[str]:
        """Serve an ONNX model; yields ``host:port``.

        Args:
            model: the file.
            name: the model's name for clients.

        Raises:
            MissingCapabilityError: the environment cannot be made, or the server does not start.
        """
        self._install()
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
            port = _write_configuration(Path(folder), model, name)
            command = [str(self._environment / "bin" / "mlserver"), "start", folder]
            # Its multiprocessing and ours would otherwise share settings through the environment.
            environment = {key: value for key, value in os.environ.items() if not key.startswith("MLSERVER_")}
            with subprocess.Popen(
                command, cwd=folder, env=environment | {"PYTHONPATH": folder}, stdout=log, stderr=log
            ) as process:
                try:
                    _wait_until_ready(process, port, name)
                    yield f"127.0.0.1:{port}"
                finally:
                    process.terminate()
                    process.wait(timeout=30)

    def _install(self) -> None:
        if (self._environment / "bin" / "mlserver").exists():
            return
        self._progress(f"installing {' '.join(_PACKAGES)} into {self._environment}")
        python = str(self._environment / "bin" / "python")
        commands = [
            [sys.executable, "-m", "venv", str(self._environment)],
            [python, "-m", "pip", "install", "--quiet", *_PACKAGES],
        ]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
                raise MissingCapabilityError(f"{' '.join(command)} failed: {reason}")


def _write_configuration(folder: Path, model: Path, name: str) -> int:
    port, grpc_port, metrics_port = _free_ports(3)
    (folder / "onnx_model.py").write_text(_RUNTIME, encoding="utf-8")
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "metrics_port": metrics_port,
        "parallel_workers": 0,
        "debug": False,
        "access_log_enabled": False,
    }
    settings = {
        "name": name,
        "implementation": "onnx_model.OnnxModel",
        "parameters": {"uri": str(model.resolve())},
    }
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return port


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    url = f"http://127.0.0.1:{port}/v2/models/{name}/ready"
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise MissingCapabilityError(f"{' '.join(map(str, process.args))} did not get ready")  # type: ignore[arg-type]
