"""Runs the converter of an engine in a process of its own: it may print, crash, or take the memory with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dashdeploy.errors import InputError

_MOST_SECONDS = 1800


def run_converter(arguments: Sequence[str], *, title: str) -> None:
    """Run ``python ARGUMENTS``.

    Args:
        arguments: of this interpreter, such as ``-m MODULE FILE``.
        title: of the converter, for the message of a failure.

    Raises:
        InputError: it fails, crashes, or does not end within half an hour.
    """
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{title} did not end within {_MOST_SECONDS // 60} minutes; choose another `target`"
        ) from error
    if done.returncode:
        text = (done.stderr + b"\n" + done.stdout).decode(errors="replace")
        raise InputError(
            f"{title} failed with status {done.returncode}: {reason_in(text)}; choose another `target`"
        )


def converted_by(module: str, model: bytes, batch: int, *, suffix: str, title: str) -> bytes:
    """The file that a module of ours makes of a model, as ``python -m MODULE SOURCE RESULT BATCH``.

    Args:
        module: its name.
        model: a serialized ONNX model.
        batch: samples per call of what is converted.
        suffix: of the result's name, which some engines go by.
        title: see `run_converter`.

    Raises:
        InputError: see `run_converter`.
    """
    with TemporaryDirectory() as folder:
        source, result = Path(folder) / "model.onnx", Path(folder) / f"result{suffix}"
        source.write_bytes(model)
        run_converter(["-m", module, str(source), str(result), str(batch)], title=title)
        return result.read_bytes()


def reason_in(text: str) -> str:
    """The line of a converter's output that says most, shortened."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()]
    return (telling or lines or ["it said nothing"])[-1 if not telling else 0][:300]
