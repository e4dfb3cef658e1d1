"""Triton's own server, from the wheel of nvidia-pytriton, beside dashdeploy's; both hold the same models.

The wheel has the server and its python backend, but no ONNX Runtime: ``triton_model.py`` runs the models there. It is
installed into an environment of its own, because it needs another NumPy. Each model's ``config.pbtxt`` is what
`export` writes, but for the backend.
"""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.export.deploy.triton_config import ModelKind, triton_config
from dashdeploy.runtimes.batch_axis import has_batch_axis, warm_up
from dashdeploy.runtimes.onnx_runtime import OnnxRuntime

PACKAGES = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",
    "onnxruntime==1.23.2",
    "protobuf",
    "flatbuffers",
    "packaging",
)
PYTHON = ModelKind("python", "", "model.py", "KIND_CPU")
HERE = Path(__file__).parent


def beside(name):
    """A module of the tests of the server, loaded by its path."""
    spec = importlib.util.spec_from_file_location(f"serve_{name}", HERE.parent / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="package")
def conformance():
    """The conformance table and its clients."""
    return beside("test_conformance")


@pytest.fixture(scope="package")
def refusals():
    """The requests that are refused."""
    return beside("test_refusals")


@pytest.fixture(scope="package")
def bundles(tmp_path_factory, write):
    """The bundles of the conformance table, and one with a state."""
    root = tmp_path_factory.mktemp("bundles")
    folder = root / "sum"
    stateful = importlib.util.spec_from_file_location("sequences", HERE.parent / "sequences" / "conftest.py")
    models = importlib.util.module_from_spec(stateful)
    stateful.loader.exec_module(models)
    models.write_sum(write, folder)
    writers = (write.double, write.identity, write.divide, write.gather, write.text)
    return [*(each(root / each.__name__.removeprefix("write_")) for each in writers), folder]


def install(folder):
    """The environment's Python and Triton's folder; skips where they cannot be had."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the wheel of nvidia-pytriton is for Linux on x86-64")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nvidia-pytriton cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    (site,) = (folder / "lib").glob("python*/site-packages")
    triton = site / "pytriton" / "tritonserver"
    stub = triton / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not stub.is_dir():
        pytest.skip(f"Triton's python backend has no stub for Python {platform.python_version()}")
    shutil.copy(stub / "triton_python_backend_stub", triton / "backends" / "python")
    return triton


def write_repository(bundles, root):
    for path in bundles:
        bundle = Bundle.load(path)
        manifest, runtime = bundle.manifest, OnnxRuntime(path / "model.onnx")
        probe = warm_up(runtime, manifest.inputs)
        batched = has_batch_axis(runtime, manifest.inputs, manifest.outputs, probe)
        version = root / manifest.name / manifest.version
        version.mkdir(parents=True)
        shutil.copy(path / "model.onnx", version)
        shutil.copy(HERE / "triton_model.py", version / "model.py")
        labels = "".join(f"{label}\n" for label in manifest.labels)
        (version.parent / "labels.txt").write_text(labels)
        config = triton_config(manifest, manifest.name, PYTHON, (1, 32, 32), {}, batched=batched)
        (version.parent / "config.pbtxt").write_text(config)
    return root


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="package")
def triton(tmp_path_factory, bundles):
    """Triton's server: `http` and `grpc` are its addresses."""
    folder = tmp_path_factory.mktemp("triton")
    triton = install(folder / "environment")
    repository = write_repository(bundles, folder / "repository")
    http, grpc = free_ports(2)
    options = {
        "model-repository": repository,
        "backend-directory": triton / "backends",
        "http-address": "127.0.0.1",
        "grpc-address": "127.0.0.1",
        "http-port": http,
        "grpc-port": grpc,
        "allow-metrics": "false",
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{folder / 'environment' / 'bin'}:{environment['PATH']}"
    library = sysconfig.get_config_var("LIBDIR")
    environment["LD_LIBRARY_PATH"] = f"{library}:{environment.get('LD_LIBRARY_PATH', '')}"
    log = folder / "log"
    with log.open("wb") as output:
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        process = subprocess.Popen(
            [triton / "bin" / "tritonserver", *words], env=environment, stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + 60
        while not is_ready(http):
            if process.poll() is not None or time.monotonic() > end:
                pytest.skip(f"Triton does not start here: {log.read_text()[-1500:]}")
            time.sleep(0.2)
        yield SimpleNamespace(http=f"127.0.0.1:{http}", grpc=f"127.0.0.1:{grpc}")
        assert process.poll() is None, log.read_text()[-1500:]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def is_ready(port):
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="package")
def ours(bundles, start_server):
    with start_server(bundles) as running:
        yield running
