"""Every command block of the README runs, in order, in an empty folder.

A block whose fence says ``skip=long`` is left out. So that the rest takes seconds, search and bench get the
smallest settings; and the port that the README shows becomes a free one.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SMALLEST = {
    "dashdeploy search": "--width 4 --search-epochs 1 --retrain-epochs 1 --kernel-sizes 3,5 --dilations 1,3 "
    "--set shortlist=2 --set shortlist_folds=1 --set shortlist_epochs=1",
    "dashdeploy bench latency": "--seconds 0.2",
}


def blocks():
    return [(language, info.strip(), text) for language, info, text in FENCE.findall(README.read_text())]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_only_the_long_blocks_are_left_out():
    assert {info for _, info, _ in blocks()} == {"", "skip=long"}
    assert [text for _, info, text in blocks() if info] == ["make demo\nmake test\n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


RUN = [
    pytest.param(language, text, id=text.split("\n")[0][:50]) for language, info, text in blocks() if not info
]


@pytest.mark.parametrize(("language", "text"), RUN)
def test_block(folder, language, text):
    if language == "python":
        command = [sys.executable, "-c", text]
    else:
        assert language == "bash"
        for start, options in SMALLEST.items():
            text = re.sub(f"^({start} .*)$", rf"\1 {options}", text, flags=re.MULTILINE)
        port = str(free_port())
        text = text.replace("--http-port 8000", f"--http-port {port} --grpc-port 0").replace("8000", port)
        command = ["bash", "-euo", "pipefail", "-c", text]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
