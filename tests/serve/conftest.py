"""A real server in a process of its own, holding small real models in real bundles."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from dashdeploy.artifacts.bundle import Manifest, write_manifest
from dashdeploy.artifacts.tensor_spec import TensorSpec

NUMPY_NAMES = {
    TensorProto.BOOL: "bool",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.FLOAT16: "float16",
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.STRING: "object",
}


def write_bundle(
    folder: Path,
    nodes,
    inputs,
    outputs,
    initializers=(),
    *,
    name: str | None = None,
    version="1",
    labels=(),
    multi_label=False,
    sample=None,
    states=(),
) -> Path:
    """A bundle whose model has the `nodes`; inputs and outputs are (name, element type, shape)."""
    folder.mkdir(parents=True)
    values = [[helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)]
    graph = helper.make_graph(list(nodes), "graph", *values, initializer=list(initializers))
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
    if sample is not None:
        (folder / "sample.json").write_text(json.dumps(sample))
    specs = [
        [TensorSpec(name=n, shape=tuple(shape), dtype=NUMPY_NAMES[kind]) for n, kind, shape in side]
        for side in (inputs, outputs)
    ]
    manifest = Manifest(
        name=name or folder.name,
        version=version,
        labels=list(labels),
        states=dict(states),
        multi_label=multi_label,
        inputs=specs[0],
        outputs=specs[1],
        target="ort-cpu",
        precision="fp32",
        source="test",
        tools={},
        files={},
    )
    write_manifest(folder, manifest)
    return folder


def write_double(folder: Path, *, name: str | None = None, version: str = "1") -> Path:
    """y = 2 x, float32 [batch, 4], with four labels and a sample."""
    return write_bundle(
        folder,
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [("x", TensorProto.FLOAT, ["batch", 4])],
        [("y", TensorProto.FLOAT, ["batch", 4])],
        name=name,
        version=version,
        labels=["zero", "one", "two", "three"],
        sample={"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [5, 6, 8, 7]}]},
    )


def write_text(folder: Path) -> Path:
    """copy = words, text [batch, 3]."""
    return write_bundle(
        folder,
        [helper.make_node("Identity", ["words"], ["copy"])],
        [("words", TensorProto.STRING, ["batch", 3])],
        [("copy", TensorProto.STRING, ["batch", 3])],
    )


def write_identity(folder: Path) -> Path:
    """One input in_T and output out_T [batch, 3] per element type T."""
    kinds = [(kind, name) for kind, name in NUMPY_NAMES.items() if name != "object"]
    return write_bundle(
        folder,
        [helper.make_node("Identity", [f"in_{name}"], [f"out_{name}"]) for _, name in kinds],
        [(f"in_{name}", kind, ["batch", 3]) for kind, name in kinds],
        [(f"out_{name}", kind, ["batch", 3]) for kind, name in kinds],
    )


def write_divide(folder: Path) -> Path:
    """quotient = a / b, float32 [n]: NaN and infinities on request; sum = a + b."""
    return write_bundle(
        folder,
        [helper.make_node("Div", ["a", "b"], ["quotient"]), helper.make_node("Add", ["a", "b"], ["sum"])],
        [("a", TensorProto.FLOAT, ["n"]), ("b", TensorProto.FLOAT, ["n"])],
        [("quotient", TensorProto.FLOAT, ["n"]), ("sum", TensorProto.FLOAT, ["n"])],
    )


def write_gather(folder: Path) -> Path:
    """value = table[index] of three entries: an index out of range makes the engine fail."""
    return write_bundle(
        folder,
        [helper.make_node("Gather", ["table", "index"], ["value"])],
        [("index", TensorProto.INT64, ["n"])],
        [("value", TensorProto.FLOAT, ["n"])],
        [helper.make_tensor("table", TensorProto.FLOAT, [3], [10.0, 20.0, 30.0])],
    )


def write_slow(folder: Path) -> Path:
    """count = the steps asked for, each a product of 256 x 256 matrices: as slow as the client likes."""
    size = 256
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition_in"], ["condition"]),
            helper.make_node("MatMul", ["matrix_in", "weights"], ["matrix"]),
            helper.make_node("Add", ["count_in", "one"], ["count_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", TensorProto.INT64, []),
            helper.make_tensor_value_info("condition_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("matrix_in", TensorProto.FLOAT, [size, size]),
            helper.make_tensor_value_info("count_in", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("matrix", TensorProto.FLOAT, [size, size]),
            helper.make_tensor_value_info("count_out", TensorProto.INT64, [1]),
        ],
    )
    zeros = [0.0] * (size * size)
    return write_bundle(
        folder,
        [
            helper.make_node("Squeeze", ["steps"], ["trips"]),
            helper.make_node("Loop", ["trips", "", "weights", "zero"], ["final", "counted"], body=body),
            helper.make_node("ReduceSum", ["final"], ["total"], keepdims=0),
            helper.make_node("Cast", ["total"], ["total_int"], to=TensorProto.INT64),
            helper.make_node("Add", ["counted", "total_int"], ["count"]),
        ],
        [("steps", TensorProto.INT64, [1])],
        [("count", TensorProto.INT64, [1])],
        [
            helper.make_tensor("weights", TensorProto.FLOAT, [size, size], zeros),
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        ],
    )


class RunningServer:
    """A server process that is ready.

    Attributes:
        process: the process; its stderr holds what came after the line of readiness.
        http: its host:port for HTTP.
        grpc: its host:port for gRPC.
    """

    def __init__(self, process: subprocess.Popen, line: str) -> None:
        self.process = process
        addresses = re.findall(r"(?:https?|grpcs?)://([^\s]+)", line)
        self.http, self.grpc = addresses[0], addresses[-1]


class Gate:
    """A file that holds the engine of a server, see `holds` of server_process.py.

    What a test waits for is seen from outside (a call runs), so that no machine is too slow for it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "held"

    def hold(self) -> None:
        self.path.touch()

    def release(self) -> None:
        self.path.unlink()

    def holds_a_call(self) -> bool:
        return self.path.with_name("held.runs").exists()


@pytest.fixture
def gate(tmp_path) -> Gate:
    return Gate(tmp_path)


@contextmanager
def running_server(bundles: Iterable[Path], **options) -> Iterator[RunningServer]:
    """A server process that is ready; for the options see server_process.py."""
    script = Path(__file__).with_name("server_process.py")
    command = [sys.executable, str(script), json.dumps(options), *map(str, bundles)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            assert "://127.0.0.1:" in line, line + process.stderr.read()
            yield RunningServer(process, line)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def start_server() -> Callable[..., AbstractContextManager[RunningServer]]:
    return running_server


@pytest.fixture(scope="session")
def engines() -> ModuleType:
    """The engines of server_process.py, for tests that need no server."""
    path = Path(__file__).with_name("server_process.py")
    spec = importlib.util.spec_from_file_location("server_process", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def write() -> SimpleNamespace:
    """The functions above that write a bundle."""
    return SimpleNamespace(
        bundle=write_bundle,
        double=write_double,
        identity=write_identity,
        divide=write_divide,
        gather=write_gather,
        text=write_text,
        slow=write_slow,
    )


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory) -> Iterator[RunningServer]:
    """A server that holds every model above but `slow`."""
    root = tmp_path_factory.mktemp("bundles")
    bundles = [
        write_double(root / "double"),
        write_identity(root / "identity"),
        write_divide(root / "divide"),
        write_gather(root / "gather"),
        write_text(root / "text"),
    ]
    with running_server(bundles) as running:
        yield running
        assert running.process.poll() is None, "the server died"


@pytest.fixture(scope="session")
def server(shared_server) -> str:
    """Its host:port for HTTP."""
    return shared_server.http


@pytest.fixture(scope="session")
def grpc_server(shared_server) -> str:
    """Its host:port for gRPC."""
    return shared_server.grpc


@pytest.fixture
def double_bundle(tmp_path) -> Path:
    return write_double(tmp_path / "double")


@pytest.fixture
def named_double_bundle(tmp_path) -> Callable[[str, str], Path]:
    """Writes a bundle into the folder of the first name, holding a model of the second name."""
    return lambda folder, name: write_double(tmp_path / folder, name=name)


@pytest.fixture
def slow_server(tmp_path) -> Iterator[tuple[subprocess.Popen, str]]:
    """A server process, and its host:port, that holds the model `slow`."""
    with running_server([write_slow(tmp_path / "slow")]) as running:
        yield running.process, running.http
