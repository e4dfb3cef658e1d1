"""The project's tests that are marked ``gpu``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dashdeploy.bench
from dashdeploy.bench.gpu_check.report import Row

_LINE = re.compile(
    r"^(?P<what>\S+::\S+) (?P<verdict>PASSED|FAILED|SKIPPED|ERROR|XFAIL)(?: \((?P<why>.*?)\))?"
)
_MARK = "pytest.mark" + ".gpu"


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every test.

    Args:
        device: without a GPU they skip themselves.
        quick: whether it is enough to find them.
        seconds: that pytest has.
    """
    root = Path(dashdeploy.bench.__file__).resolve().parents[1]
    files = sorted(path for path in (root / "tests").rglob("test_*.py") if _MARK in path.read_text("utf-8"))
    if not files:
        yield Row(what="tests", reason=f"{root} is not a checkout of the project: it has no tests")
        return
    names = [str(path.relative_to(root)) for path in files]
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-m",
        "gpu",
        "-v",
        "--no-header",
        "-ra",
    ]
    if quick or device == "cpu":
        words.append("--collect-only")
    done = subprocess.run(
        [*words, *names], cwd=root, capture_output=True, text=True, check=False, timeout=seconds
    )
    if "--collect-only" in words:
        found = [line for line in done.stdout.splitlines() if "::" in line or "<Function" in line]
        yield Row(
            what="tests marked gpu",
            figures={"found": len(found)},
            passed=done.returncode == 0 and bool(found),
            reason="found and not run: they need a GPU" if done.returncode == 0 else _last_lines(done),
        )
        return
    for line in done.stdout.splitlines():
        if match := _LINE.match(line):
            verdict, why = match["verdict"], match["why"]
            passed = {"PASSED": True, "SKIPPED": None}.get(verdict, False)
            yield Row(what=match["what"], passed=passed, reason=why or (None if passed else verdict.lower()))
    if done.returncode:
        yield Row(what="pytest", passed=False, reason=_last_lines(done))


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return f"pytest ended with {done.returncode}: " + " / ".join(lines[-4:])
