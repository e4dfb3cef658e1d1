"""Runs the sections of `make gpu-check`, each in a process of its own and within its time, and writes the result.

A process that dies, hangs or runs out of memory takes its own section along and no other; rows that it has written
until then are kept. `start.py` runs this as ``python -m dashdeploy.bench.gpu_check.measure``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.common.device import check_device, describe_device
from dashdeploy.bench.gpu_check.report import GpuCheckReport, Row, Section, Status
from dashdeploy.errors import DashdeployError, GateError, first_line
from dashdeploy.progress import Progress, silent, to_stderr

JSON_NAME, MARKDOWN_NAME = "gpu-check.json", "gpu-check.md"
_GRACE_SECONDS = 5.0
"""Between what a section is told that it has, and the end of its process."""


_REHEARSAL_PATIENCE = 2
"""How many times as long a section may take on a CPU, whose compilations and searches are slower than a GPU's."""


@dataclass(frozen=True)
class Planned:
    """One section that is to run.

    Attributes:
        about: what it does, in a line.
        module: of this folder; its ``rows`` gives the rows.
        seconds: that it has on a GPU.
    """

    about: str
    module: str
    seconds: float

    def seconds_on(self, device: str) -> float:
        """That it has on a device."""
        return self.seconds * (_REHEARSAL_PATIENCE if device == "cpu" else 1)


SECTIONS = {
    "tests": Planned("The tests that are marked gpu.", "marked_tests", 60),
    "parity": Planned(
        "AggConv in float32 without TF32, every method, against equation 2 in float64 on the CPU: largest difference "
        "as a share of the largest value.",
        "parity",
        15,
    ),
    "search": Planned("A tiny search, whole; and killed, then resumed.", "killed_search", 80),
    "search-cost": Planned(
        "Median milliseconds of a step of the search by method, for c kernel sizes and c dilations.",
        "step_cost",
        80,
    ),
    "layers": Planned(
        "Median milliseconds of single layers, direct and by FFT, beside the roofline of the peaks that are measured "
        "here, and beside what is estimated of a GPU that is not here.",
        "layer_rooflines",
        40,
    ),
    "latency": Planned("Median milliseconds of the networks of the list.", "network_latency", 160),
}
"""By name, in their order; with `_GRACE_SECONDS` of each 465 seconds in all, on a GPU."""


def check_gpu(
    device: Literal["cpu", "cuda"],
    *,
    quick: bool = False,
    sections: Iterable[str] = SECTIONS,
    progress: Progress = silent,
) -> GpuCheckReport:
    """Run sections.

    Args:
        device: ``cuda``; ``cpu`` is a rehearsal.
        quick: whether the smallest sizes will do.
        sections: names of `SECTIONS`.
        progress: told of every section.

    Raises:
        MissingCapabilityError: the device does not exist.
    """
    check_device(device)
    started = monotonic()
    done = []
    for name in sections:
        progress(f"{name}: up to {SECTIONS[name].seconds_on(device):.0f} s")
        done.append(_run(name, SECTIONS[name], device, quick=quick))
        progress(f"{name}: {done[-1].status}" + (f", {done[-1].reason}" if done[-1].reason else ""))
    return GpuCheckReport(
        provenance=Provenance.now(),
        device=device,
        description=_described(device),
        quick=quick,
        seconds=monotonic() - started,
        sections=tuple(done),
    )


def _described(device: str) -> str | None:
    """The GPU in words; what it says instead must not take along all that was measured."""
    try:
        return describe_device(device)
    except RuntimeError as error:  # torch's only class for whatever a GPU does
        return f"a GPU that does not answer after the sections: {first_line(error)}"


def _run(name: str, task: Planned, device: str, *, quick: bool) -> Section:
    words = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--section", name]
    words += ["--device", device, *(["--quick"] if quick else [])]
    started, timed_out, said = monotonic(), False, ""
    with TemporaryDirectory(prefix="dashdeploy-gpu-check-") as folder:
        path = Path(folder) / "rows.jsonl"
        with (Path(folder) / "said").open("w+") as log:
            process = subprocess.Popen(
                [*words, "--rows", str(path)], stdout=log, stderr=log, start_new_session=True
            )
            try:
                process.wait(task.seconds_on(device) + _GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                _end(process)
            log.seek(0)
            said = log.read()
        rows = _read(path)
    status, reason = _verdict(rows, process.returncode, said, timed_out=timed_out)
    return Section(
        name=name,
        about=task.about,
        status=status,
        reason=reason,
        seconds=monotonic() - started,
        budget_seconds=task.seconds_on(device),
        rows=rows,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the section's process, and those that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
    process.wait()


def _read(path: Path) -> tuple[Row, ...]:
    """The whole lines; the last one may be cut off."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return tuple(Row.model_validate_json(line) for line in lines if line.endswith("\n"))


def _verdict(rows: tuple[Row, ...], code: int, said: str, *, timed_out: bool) -> tuple[Status, str | None]:
    wrong = [row for row in rows if row.passed is False]
    if wrong:
        return "failed", "; ".join(f"{row.what}: {row.reason}" for row in wrong[:3])
    if timed_out:
        return "cut short", f"its time was over after {len(rows)} rows"
    if code:
        last = (said.strip().splitlines() or ["nothing"])[-1]
        return "failed", f"its process ended with {code} and said: {last}"
    if all(not row.figures and row.passed is None for row in rows):
        return "skipped", "; ".join(dict.fromkeys(row.reason or "" for row in rows)) or "it gave no rows"
    left = [row for row in rows if row.reason and row.reason.startswith("left out: the section's time")]
    if left:
        return "cut short", f"its time was over before {left[0].what}"
    return "passed", None


def write_rows(name: str, device: str, path: Path, *, quick: bool) -> None:
    """Run one section in this process and add its rows to the file `path` as they come, a line of JSON each."""
    task = SECTIONS[name]
    module = importlib.import_module(f"dashdeploy.bench.gpu_check.{task.module}")
    with path.open("a", encoding="utf-8") as file:
        for row in module.rows(device, quick=quick, seconds=task.seconds_on(device)):
            file.write(row.model_dump_json() + "\n")
            file.flush()


def main() -> int:
    """Run one section, or all of them and write ``gpu-check.json`` and ``gpu-check.md``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("build/gpu-check"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--section", choices=SECTIONS)
    parser.add_argument("--rows", type=Path)
    words = parser.parse_args()
    if words.section is not None:
        write_rows(words.section, words.device, words.rows, quick=words.quick)
        return 0
    try:
        report = check_gpu(words.device, quick=words.quick, progress=to_stderr)
        words.out.mkdir(parents=True, exist_ok=True)
        content = json.dumps(report.model_dump(mode="json"), indent=2, allow_nan=False)
        write_text_atomically(words.out / JSON_NAME, content + "\n")
        write_text_atomically(words.out / MARKDOWN_NAME, report.text() + "\n")
        print(report.text())
        if report.failed:
            raise GateError(f"failed: {', '.join(report.failed)}; see {words.out / MARKDOWN_NAME}")
    except DashdeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
