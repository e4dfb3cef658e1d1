"""What users install and no more: the wheel with one extra, in an environment without this one's packages.

An import that no dependency declares fails here, and nowhere else: the development environment holds every extra.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
WRITTEN = ROOT / "tests" / "written_by_0_1_0"

pytestmark = pytest.mark.slow


class Environment:
    """An environment with the wheel and `extras`; pinned as the tests are, so that it fails by our fault alone."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin, self.wheel = folder / "bin", wheel

    def install(self, extras: str) -> None:
        constraints = ROOT / "constraints.txt"
        self.run(
            "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            f"{self.wheel}[{extras}]",
            "--constraint",
            constraints,
        )

    def run(self, program: str, *words: object, **options: object) -> str:
        command = [str(self.bin / program), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "demo", "*.egg-info", "__pycache__")
    tree = shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=unwanted)
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(tree)]
    subprocess.run(build, check=True, capture_output=True)
    return Environment(folder / "venv", next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def exported(environment, tmp_path_factory):
    """A folder with what the extra `cpu` alone can do: a run, and bundles that were inspected and verified."""
    environment.install("cpu")
    here = tmp_path_factory.mktemp("work")
    x, y = np.random.default_rng(0).standard_normal((60, 1, 32)).astype(np.float32), np.arange(60) % 3
    np.savez(here / "data.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    little = ("--width", 2, "--search-epochs", 1, "--retrain-epochs", 1, "--set", "shortlist=1")
    environment.run("dashdeploy", "search", "--data", "data.npz", *little, "--out", "searched", cwd=here)
    for source, out in (
        (here / "searched", "searched-bundle"),
        (WRITTEN / "run", "run"),
        (WRITTEN / "waves" / "baseline" / "direct.onnx", "onnx"),
    ):
        environment.run("dashdeploy", "export", source, "--lowering", "fft", "--out", out, cwd=here)
        found = json.loads(environment.run("dashdeploy", "inspect", out, "--json", cwd=here))
        assert found["kind"] == "bundle"
        (verified,) = json.loads(environment.run("dashdeploy", "verify", out, "--json", cwd=here))
        assert verified["good"]
    return here


def test_the_extra_cpu_searches_exports_inspects_and_verifies(environment, exported):
    assert (exported / "run" / "model.onnx").exists()
    environment.run("dashdeploy", "doctor", cwd=exported)
    missing = subprocess.run(
        [environment.bin / "dashdeploy", "serve", "run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=exported,
    )
    assert missing.returncode == 3
    assert "pip install 'dashdeploy[serve]'" in missing.stderr


def test_with_the_extra_serve_a_request_is_answered(environment, exported):
    environment.install("cpu,serve")
    command = [environment.bin / "dashdeploy", "serve", "run", "--http-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=exported) as server:
        try:
            line = ""
            while "http://" not in line:
                line = server.stderr.readline()
                assert line, "the server ended"
            address = "http://" + line.split("http://")[1].split()[0].rstrip(",;")
            answers = np.load(WRITTEN / "answers.npz")
            name = json.loads((exported / "run" / "bundle.json").read_text())["inputs"][0]["name"]
            x = answers["x"]
            tensor = {"name": name, "shape": x.shape, "datatype": "FP32", "data": x.ravel().tolist()}
            ask = [
                "import sys, urllib.request as r",
                "q = r.Request(sys.argv[1], sys.stdin.buffer.read())",
                "sys.stdout.write(r.urlopen(q).read().decode())",
            ]
            body = json.dumps({"inputs": [tensor]})
            url = f"{address}/v2/models/run/infer"
            answer = json.loads(environment.run("python", "-c", "\n".join(ask), url, input=body))
        finally:
            server.kill()
    (output,) = answer["outputs"]
    found = np.array(output["data"], np.float32).reshape(output["shape"])
    np.testing.assert_allclose(
        found, answers["logits"], atol=1e-6, rtol=0
    )  # ten times the reordered sums' rounding


def test_the_tutorial_alone_leads_from_arrays_to_a_checked_answer(environment, tmp_path):
    """Every block of the page in its order, in an environment and a folder that hold nothing else."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(bash|python)[^\n]*\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    alone = {"PATH": path, "HOME": str(tmp_path), "DASHDEPLOY_CACHE": str(tmp_path / "cache")}
    fresh, installed = Environment(tmp_path / "venv", environment.wheel), []
    for language, text in blocks:
        if extras := re.fullmatch(r"pip install '\.\[([a-z,]+)\]'\n", text):
            fresh.install(extras[1])
            installed.append(extras[1])
            continue
        quick = text.replace("--time-limit 5m", "--time-limit 40s")
        quick = quick.replace("--http-port 8000", f"--http-port {port} --grpc-port 0").replace("8000", port)
        command = (
            ["python", "-c", quick] if language == "python" else ["bash", "-euo", "pipefail", "-c", quick]
        )
        shell = shutil.which(command[0], path=path)
        done = subprocess.run(
            [shell, *command[1:]], cwd=tmp_path, env=alone, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, text + done.stdout + done.stderr
    assert installed == ["cpu,serve", "sklearn"]
    answered = json.loads((tmp_path / "answer.json").read_text())
    assert answered["model_name"] == "pulses"


ESTIMATOR = """
import sys
import numpy as np
import dashdeploy
x, y = np.random.default_rng(0).standard_normal((12, 8)), np.arange(12) % 2
try:
    from dashdeploy import DASHClassifier
except dashdeploy.MissingCapabilityError as error:
    sys.exit(str(error))
little = dict(width=2, search_epochs=1, retrain_epochs=1, settings={"shortlist": 1})
DASHClassifier(**little).fit(x, y).save("saved")
print(DASHClassifier.load("saved").predict(x).shape)
"""


@pytest.mark.usefixtures("exported")  # which has installed the extra cpu
def test_the_extra_sklearn_brings_the_estimators(environment, tmp_path):
    command = [environment.bin / "python", "-c", ESTIMATOR]
    missing = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert missing.stderr.strip().endswith("pip install 'dashdeploy[sklearn]'")
    environment.install("cpu,sklearn")
    assert environment.run("python", "-c", ESTIMATOR, cwd=tmp_path) == "(12,)\n"
