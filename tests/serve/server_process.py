"""A server in a process of its own: python server_process.py SETTINGS_JSON BUNDLE...

The settings are those of `ServeSettings` and `BatchPolicy`; four more choose an engine of the tests: `cost`, seconds
that every call takes besides, `cost_grows`, the same times the square of the rows, `breaks`, a file during whose
existence the engine fails, and `holds`, a file during whose existence a call does not end. `head_seconds` shortens
the time that a request's headers may take.
"""

import json
import sys
import time
from dataclasses import fields
from pathlib import Path

from dashdeploy.cli.errors import INTERNAL_ERROR
from dashdeploy.errors import DashdeployError
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.serve.http import uvicorn_protocol as http_protocol
from dashdeploy.serve.repository.served_model import load_runtime
from dashdeploy.serve.server import serve
from dashdeploy.serve.settings import BatchPolicy, ServeSettings, VersionPolicy


class SlowRuntime:
    """ONNX Runtime with a fixed cost per call, as a GPU's launches or a remote engine have it."""

    def __init__(self, model, seconds):
        self._runtime = OnnxRuntime(model, threads=1)
        self._seconds = seconds
        self.inputs, self.outputs = self._runtime.inputs, self._runtime.outputs
        self.rows = []

    def run(self, feeds):
        time.sleep(self._seconds)
        self.rows.append(len(next(iter(feeds.values()))))
        return self._runtime.run(feeds)

    def describe(self):
        return self._runtime.describe()


class GrowingRuntime(SlowRuntime):
    """Costs more per sample the larger the batch is, as kernels do that fall out of a cache."""

    def run(self, feeds):
        rows = len(next(iter(feeds.values())))
        time.sleep(self._seconds * rows * rows)
        self.rows.append(rows)
        return self._runtime.run(feeds)


class BreakableRuntime(SlowRuntime):
    """Fails while a file exists; one that failed never runs again, so that it has to be loaded anew."""

    def __init__(self, model, seconds, switch):
        super().__init__(model, seconds)
        self._switch, self._broken = Path(switch), False

    def run(self, feeds):
        self._broken = self._broken or self._switch.exists()
        if self._broken:
            raise OSError("the device fell off the bus")
        return super().run(feeds)


class HeldRuntime(SlowRuntime):
    """Runs no further while a file exists, and says by another, `FILE.runs`, that a call has begun."""

    def __init__(self, model, seconds, gate):
        super().__init__(model, seconds)
        self._gate = Path(gate)

    def run(self, feeds):
        if self._gate.exists():
            self._gate.with_name(self._gate.name + ".runs").touch()
        while self._gate.exists():
            time.sleep(0.005)
        return super().run(feeds)


def main():
    options = json.loads(sys.argv[1])
    grows = options.pop("cost_grows", 0.0)
    cost, breaks = options.pop("cost", 0.0), options.pop("breaks", None)
    holds = options.pop("holds", None)
    http_protocol.HEAD_SECONDS = options.pop("head_seconds", http_protocol.HEAD_SECONDS)
    known = {field.name for field in fields(BatchPolicy)}
    batching = BatchPolicy(**{name: options.pop(name) for name in known & set(options)})
    for name in ("tls_certificate", "tls_key", "access_log"):
        if name in options:
            options[name] = Path(options[name])
    if "version_policies" in options:
        written = options["version_policies"].items()
        options["version_policies"] = {name: VersionPolicy(**policy) for name, policy in written}
    if "api_keys" in options:
        options["api_keys"] = frozenset(options["api_keys"])

    def loader(bundle, settings):
        model = bundle.file("model.onnx")
        if breaks:
            return BreakableRuntime(model, cost, breaks)
        if holds:
            return HeldRuntime(model, cost, holds)
        if grows:
            return GrowingRuntime(model, grows)
        return SlowRuntime(model, cost) if cost else load_runtime(bundle, settings)

    settings = ServeSettings(**{"http_port": 0, "grpc_port": 0, "threads": 1} | options, batching=batching)
    try:
        serve([Path(path) for path in sys.argv[2:]], settings, loader=loader)
    except DashdeployError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        print(f"error: internal: {error!r}", file=sys.stderr)
        sys.exit(INTERNAL_ERROR)


if __name__ == "__main__":
    main()
