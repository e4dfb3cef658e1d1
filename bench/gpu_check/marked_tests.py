"""The project's tests that are marked ``gpu``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dashdeploy.bench
from dashdeploy.bench.gpu_check.report import Row

_LINE = re.compile(
    r"^(?P<what>\S+::.+?) (?P<verdict>PASSED|FAILED|SKIPPED|ERROR|XFAIL)(?: \((?P<why>.*)\))?\s*(?:\[ *\d+%\])?$"
)
_SUMMARY = re.compile(r"^(?:FAILED|ERROR) (?P<what>\S+.*?) - (?P<why>.*)$")
_MARK = "pytest.mark" + ".gpu"
_WIDE = "1000"
"""Columns of the terminal that pytest takes its output for: it cuts reasons off at the end of a line."""

TIME_OVER = "left out: the section's time is over"


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for every test, as it ends; those that failed come last, with their reasons.

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
    # The project's own options make pytest quiet, and a quiet one names no test.
    words = [sys.executable, "-m", "pytest", "-o", "addopts=--import-mode=importlib --strict-markers"]
    words += ["-p", "no:cacheprovider", "-m", "gpu", "-v", "--no-header", "-ra"]
    if quick or device == "cpu":
        yield _found([*words, "--collect-only", "-q", *names], root, seconds)
    else:
        yield from _run([*words, *names], root, seconds)


def _found(words: list[str], root: Path, seconds: float) -> Row:
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=False, timeout=seconds)
    found = [line for line in done.stdout.splitlines() if "::" in line or "<Function" in line]
    good = done.returncode == 0
    return Row(
        what="tests marked gpu",
        figures={"found": len(found)},
        passed=good and bool(found),
        reason="found and not run: they need a GPU"
        if good
        else _ended(done.returncode, (done.stdout + done.stderr).splitlines()),
    )


def _run(words: list[str], root: Path, seconds: float) -> Iterator[Row]:
    process = subprocess.Popen(
        words,
        cwd=root,
        env=os.environ | {"COLUMNS": _WIDE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    over = threading.Event()

    def end() -> None:
        over.set()
        process.kill()

    timer = threading.Timer(seconds, end)
    timer.start()
    lines: list[str] = []
    reasons: dict[str, str] = {}
    seen = 0
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if match := _SUMMARY.match(lines[-1]):
                reasons[match["what"]] = match["why"]
            if not (match := _LINE.match(lines[-1])):
                continue
            seen += 1
            verdict, why = match["verdict"], match["why"]
            if verdict in ("PASSED", "SKIPPED", "XFAIL"):
                passed = True if verdict == "PASSED" else None
                yield Row(
                    what=match["what"], passed=passed, reason=why or (None if passed else verdict.lower())
                )
            else:
                reasons.setdefault(match["what"], verdict.lower())
        code = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    for what, why in reasons.items():
        yield Row(what=what, passed=False, reason=why)
    if over.is_set():
        yield Row(what=f"the tests behind the first {seen}", reason=TIME_OVER)
    elif not seen or (code and not reasons):
        yield Row(what="pytest", passed=False, reason=_ended(code, lines))


def _ended(code: int, lines: list[str]) -> str:
    said = [line for line in lines if line.strip()]
    return f"pytest ended with {code}: " + " / ".join(said[-4:])
