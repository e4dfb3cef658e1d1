"""What serving a bundle costs: the overhead of one request, and the throughput of many.

The overhead is measured interleaved: the in-process call of the engine, the same over HTTP and the same over
gRPC take turns (see `timing`), each as a client in this process sees it, with binary tensors over a
connection that is kept. The throughput is measured by a client in a process of its own (see `http_load`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping

import numpy as np

from dashdeploy.artifacts.bundle import MODEL_NAME, Bundle
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.common.checks import check_seconds
from dashdeploy.bench.serve.http_load import http_request
from dashdeploy.bench.serve.peer import Peer
from dashdeploy.bench.serve.raw_http import RawHttpConnection
from dashdeploy.bench.serve.report import OverheadRow, ServeReport, ThroughputRow
from dashdeploy.bench.serve.server_process import server_process
from dashdeploy.errors import InputError
from dashdeploy.progress import Progress, silent
from dashdeploy.runtimes.base import Array
from dashdeploy.runtimes.example_inputs import ExampleInputs
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime
from dashdeploy.timing import interleaved, percentiles

_SEED = 0
_TIMEOUT = 60


def measure_serving(
    bundle: Bundle,
    *,
    seconds: float = 10.0,
    connections: int = 16,
    threads: int = 1,
    peer: Peer | None = None,
    progress: Progress = silent,
) -> ServeReport:
    """Serve a bundle on this machine and measure it.

    Args:
        bundle: the bundle.
        seconds: how long each of the measurements takes.
        connections: requests under way at once when throughput is measured.
        threads: threads within one operator, in the server as in this process.
        peer: another server that serves the same model, whose throughput is measured in the same run with
            the same JSON requests, in turns with ours; None measures ours alone.
        progress: told in one line what is being measured.

    Raises:
        InputError: the bundle has no model, a server did not start, or `seconds` leaves no time to measure.
        MissingCapabilityError: a package is not installed.
    """
    check_seconds(seconds)
    file = bundle.file(MODEL_NAME)
    if file is None:
        raise InputError(f"{bundle.path}: the bundle has no {MODEL_NAME}; export it again")
    runtime = OnnxRuntime(file, threads=threads)
    generator = np.random.default_rng(_SEED)
    feeds = ExampleInputs.of(runtime.run, runtime.inputs).feeds(1, generator)
    name = bundle.manifest.name
    with server_process(bundle.path, threads) as (http_address, grpc_address):
        progress(f"overhead at concurrency 1, {seconds:g} s")
        calls: dict[str, Callable[[], object]] = {
            "in process": lambda: runtime.run(feeds),
            "HTTP": _http_call(http_address, name, feeds),
            "gRPC": _grpc_call(grpc_address, name, feeds),
        }
        times = interleaved(calls, seconds=seconds, min_rounds=50, warmup=2.0)
        own = times["in process"]
        overhead = tuple(
            OverheadRow(
                protocol=protocol,
                calls=series.size,
                p50_ms=1e3 * percentiles(series, (50,))[0],
                p99_ms=1e3 * percentiles(series, (99,))[0],
                overhead_p50_ms=1e3 * float(np.median(series - own)),
            )
            for protocol, series in times.items()
        )
        requests = {"binary": _binary_request(http_address, name, feeds)}
        throughput = [_throughput("dashdeploy", http_address, requests, connections, seconds, progress)]
        if peer is not None:
            with peer.serve(file, name) as address:
                # In turns, so that whatever else the machine does hits both.
                for _ in range(2):
                    for server, at in (("dashdeploy", http_address), (peer.name, address)):
                        body = {"JSON": _json_request(at, name, feeds)}
                        throughput.append(_throughput(server, at, body, connections, seconds / 2, progress))
    return ServeReport(
        provenance=Provenance.now(),
        bundle=str(bundle.path),
        engine=runtime.describe(),
        seconds=seconds,
        overhead=overhead,
        throughput=tuple(throughput),
    )


def _http_call(address: str, model: str, feeds: Mapping[str, Array]) -> Callable[[], object]:
    connection = RawHttpConnection(address, timeout=_TIMEOUT)
    request = _binary_request(address, model, feeds)
    return lambda: connection.exchange(request)


def _grpc_call(address: str, model: str, feeds: Mapping[str, Array]) -> Callable[[], object]:
    import grpc

    from dashdeploy.serve.grpc.messages import SERVICE, message_classes
    from dashdeploy.serve.protocol.tensor_data import datatype_of, to_raw

    classes = message_classes()
    request = classes["ModelInferRequest"](model_name=model)
    for name, array in feeds.items():
        request.inputs.add(name=name, datatype=datatype_of(array), shape=array.shape)
        request.raw_input_contents.append(bytes(to_raw(array)))
    infer = grpc.insecure_channel(address).unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=classes["ModelInferRequest"].SerializeToString,
        response_deserializer=classes["ModelInferResponse"].FromString,
    )
    return lambda: infer(request, timeout=_TIMEOUT)


def _binary_request(address: str, model: str, feeds: Mapping[str, Array]) -> bytes:
    """A request with binary tensors."""
    from dashdeploy.serve.protocol.tensor_data import to_raw

    blobs = {name: bytes(to_raw(array)) for name, array in feeds.items()}
    inputs = [
        _described(name, array) | {"parameters": {"binary_data_size": len(blobs[name])}}
        for name, array in feeds.items()
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(header))}
    return http_request(address, f"/v2/models/{model}/infer", header + b"".join(blobs.values()), length)


def _json_request(address: str, model: str, feeds: Mapping[str, Array]) -> bytes:
    inputs = [_described(name, array) | {"data": array.reshape(-1).tolist()} for name, array in feeds.items()]
    body = json.dumps({"inputs": inputs}).encode()
    return http_request(address, f"/v2/models/{model}/infer", body, {"Content-Type": "application/json"})


def _described(name: str, array: Array) -> dict[str, object]:
    from dashdeploy.serve.protocol.tensor_data import datatype_of

    return {"name": name, "shape": list(array.shape), "datatype": datatype_of(array)}


def _throughput(
    server: str,
    address: str,
    requests: Mapping[str, bytes],
    connections: int,
    seconds: float,
    progress: Progress,
) -> ThroughputRow:
    ((encoding, request),) = requests.items()
    progress(f"throughput of {server}, {encoding}, {connections} connections, {seconds:g} s")
    command = [
        sys.executable,
        "-m",
        "dashdeploy.bench.serve.http_load",
        address,
        str(connections),
        str(seconds),
    ]
    done = subprocess.run(command, input=request, capture_output=True, check=True, timeout=seconds + _TIMEOUT)
    found = json.loads(done.stdout)
    refused = sum(count for status, count in found["statuses"].items() if status != "200")
    return ThroughputRow(
        server=server,
        encoding=encoding,
        connections=connections,
        per_second=found["per_second"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        refused=refused,
    )
