"""Every block of the README, the tutorial, the how-to pages and the explanations runs, in order.

The README has an empty folder of its own; the other pages continue in the tutorial's, as their readers do. A block
whose fence says ``skip=REASON`` is left out. So that the rest takes seconds, search and bench get the smallest
settings; and the port that a page shows becomes a free one.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    "docs/tutorial.md",
    *sorted(f"docs/how-to/{path.name}" for path in (ROOT / "docs" / "how-to").glob("*.md")),
    *sorted(f"docs/explanation/{path.name}" for path in (ROOT / "docs" / "explanation").glob("*.md")),
]
FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SMALLEST = {
    "dashdeploy search": "--width 4 --search-epochs 1 --retrain-epochs 1 --kernel-sizes 3,5 --dilations 1,3 "
    "--set shortlist=2 --set shortlist_folds=1 --set shortlist_epochs=1",
    "dashdeploy bench latency": "--seconds 0.2",
}
REASONS = {
    "long": "it takes many minutes",
    "data": "it needs data that nobody can ship",
    "extra": "it installs a package",
    "gpu": "it needs a GPU",
    "devices": "it needs several devices or machines",
}
"""Why blocks are left out."""


def blocks(page):
    found = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    return [(language, info.strip(), text) for language, info, text in found if language != "text"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("page", PAGES)
def test_what_is_left_out_has_a_reason(page):
    assert {info for _, info, _ in blocks(page)} <= {"", *(f"skip={reason}" for reason in REASONS)}


def test_of_the_readme_and_the_tutorial_few_blocks_are_left_out():
    left_out = [text.splitlines() for page in PAGES[:2] for _, info, text in blocks(page) if info]
    # tests/test_clean_install.py runs what installs.
    assert left_out[2:] == [["pip install '.[cpu,serve]'"], ["pip install '.[sklearn]'"]]
    left_out = left_out[:2]
    # The second one is what the tutorial runs, step by step.
    assert left_out == [["make demo", "make test"], [line for line in left_out[1] if "dashdeploy" in line]]
    assert len(left_out[1]) == 5


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    shared = tmp_path_factory.mktemp("tutorial")
    return dict.fromkeys(PAGES, shared) | {"README.md": tmp_path_factory.mktemp("readme")}


RUN = [
    pytest.param(page, language, text, id=f"{page}-{text.splitlines()[0][:50]}")
    for page in PAGES
    for language, info, text in blocks(page)
    if not info
]


def skip_without_onnxruntime_web():
    from dashdeploy.errors import MissingCapabilityError
    from dashdeploy.runtimes.ort_web.installation import find_node, find_package

    try:
        find_node(), find_package()
    except MissingCapabilityError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("page", "language", "text"), RUN)
def test_block(folders, page, language, text):
    if "--web" in text:
        skip_without_onnxruntime_web()
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
        cwd=folders[page],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
