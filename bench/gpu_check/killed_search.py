"""One tiny search end to end on the device, and once more with ``kill -9`` in the middle and a resumption.

On the CPU the two runs are the same bit for bit. On a GPU the order of sums changes from run to run (atomic additions
of gradients), so their metrics are compared instead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import numpy as np

from dashdeploy.bench.gpu_check.report import Figure, Row

METRIC_TOLERANCE = 0.1
"""Of the accuracies of two runs on a GPU: six of the sixty test samples, for a task that is learned to some 0.95."""

_SETTINGS = {
    "width": 8,
    "batch_size": 16,
    "search_epochs": 10,
    "retrain_epochs": 10,
    "shortlist": 1,
    "shortlist_folds": 1,
    "refit": "false",
    "learning_rate": 0.03,
    "precision": "32-true",
    "seed": 7,
}
_KILLED_FROM, _POLL_SECONDS = 3, 0.01
"""Lines of the history from which it is killed."""


def rows(device: str, *, quick: bool, seconds: float) -> Iterator[Row]:
    """A row for the run, one for the killed one, one for how they compare.

    Args:
        device: ``cpu`` or ``cuda``.
        quick: whether half of the epochs will do.
        seconds: that the three processes have together.
    """
    end = monotonic() + seconds
    with TemporaryDirectory(prefix="dashdeploy-gpu-check-") as name:
        folder = Path(name)
        _write_waves(folder / "waves.npz")
        words = _words(folder / "waves.npz", device, quick=quick)
        started = monotonic()
        reason = _run([*words, "--out", str(folder / "whole")], end)
        figures = {"seconds": monotonic() - started, **_metrics(folder / "whole")}
        yield Row(what="search, whole", figures=figures, passed=reason is None, reason=reason)
        if reason is not None:
            return
        epoch = _kill([*words, "--out", str(folder / "killed")], folder / "killed.partial", end)
        if epoch is None:
            yield Row(what="search, killed", passed=False, reason="it was over before it could be killed")
            return
        reason = _run([*words, "--out", str(folder / "killed"), "--resume"], end)
        figures = {"killed after epochs": epoch, **_metrics(folder / "killed")}
        yield Row(what="search, killed and resumed", figures=figures, passed=reason is None, reason=reason)
        if reason is None:
            yield _comparison(folder / "whole", folder / "killed", device)


def _words(data: Path, device: str, *, quick: bool) -> list[str]:
    epochs = {"search_epochs": 5, "retrain_epochs": 5} if quick else {}
    words = [
        sys.executable,
        "-m",
        "dashdeploy",
        "search",
        "--data",
        str(data),
        "--devices",
        device,
        "--quiet",
    ]
    words += ["--kernel-sizes", "3,5,7", "--dilations", "1,3,7"]
    for name, value in (_SETTINGS | epochs).items():
        words += ["--set", f"{name}={value}"]
    return words


def _write_waves(path: Path) -> None:
    """Sine waves of three frequencies under noise, which a small network learns in seconds."""
    generator, time = np.random.default_rng(0), np.arange(64) / 64

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 3
        phase = generator.uniform(0, 2 * np.pi, (count, 1))
        waves = np.sin(2 * np.pi * (2 * labels[:, None] + 1) * time + phase)
        return (waves + 0.2 * generator.standard_normal(waves.shape)).astype(np.float32)[:, None, :], labels

    (x_train, y_train), (x_test, y_test) = split(90), split(60)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def _run(words: list[str], end: float) -> str | None:
    """Why the command does not end well: what it says last; None if it does."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=max(1.0, end - monotonic())
        )
    except subprocess.TimeoutExpired:
        return "the section's time was over"
    lines = done.stderr.strip().splitlines() or [""]
    return f"exit {done.returncode}: {lines[-1]}" if done.returncode else None


def _kill(words: list[str], partial: Path, end: float) -> int | None:
    """Start the command and kill it in the middle of an epoch; the lines that its history has then."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = partial / "metrics.jsonl"
    try:
        while process.poll() is None and monotonic() < end:
            lines = history.read_bytes().count(b"\n") if history.exists() else 0
            if lines >= _KILLED_FROM:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                return lines
            sleep(_POLL_SECONDS)
        return None
    finally:
        process.kill()
        process.wait()


def _metrics(run: Path) -> dict[str, Figure]:
    try:
        found = json.loads((run / "metrics.json").read_bytes())
    except OSError:
        return {}
    return {f"{name}, test accuracy": found[name]["test"] for name in ("searched", "backbone")}


def _comparison(whole: Path, killed: Path, device: str) -> Row:
    if device == "cpu":
        names = ("architecture.json", "model.safetensors", "backbone.safetensors", "metrics.jsonl")
        other = [name for name in names if (whole / name).read_bytes() != (killed / name).read_bytes()]
        return Row(
            what="both are the same bit for bit",
            passed=not other,
            reason=f"they differ in {', '.join(other)}" if other else None,
        )
    one, two = _metrics(whole), _metrics(killed)
    apart = max(abs(float(one[name] or 0) - float(two[name] or 0)) for name in one)
    return Row(
        what=f"metrics of both are within {METRIC_TOLERANCE:g}",
        figures={"largest difference": apart},
        passed=apart <= METRIC_TOLERANCE,
        reason="a GPU adds up in another order every time, so the runs are not the same bit for bit",
    )
