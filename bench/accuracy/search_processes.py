"""Searches, each in a process of its own, several at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dashdeploy.bench.accuracy.report import Failure
from dashdeploy.machine import cores
from dashdeploy.progress import Progress

_POLL_SECONDS = 0.3
_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Search:
    """One search that is to be run.

    Attributes:
        task: a built-in task, or the name of the data.
        seed: the seed.
        out: the run directory; an unfinished run beside it is continued.
        options: the words of the command line that choose its settings, as `setting_options` gives them.
        data: the user's own data; None for a built-in task.
    """

    task: str
    seed: int
    out: Path
    options: Sequence[str]
    data: Path | None = None

    def command(self) -> list[str]:
        """The command line of the process.

        This benchmark measures what a user runs, so it starts the program itself; flags are named here and in
        `setting_options` for that reason alone.
        """
        source = ["--task", self.task] if self.data is None else ["--data", str(self.data)]
        words = ["search", *source, "--seed", str(self.seed), *self.options, "--resume"]
        return [sys.executable, "-m", "dashdeploy", *words, "--out", str(self.out)]


def setting_options(preset: str | None, settings: Sequence[str]) -> list[str]:
    """The settings of a search as words of its command line.

    Args:
        preset: the preset, if one is given.
        settings: further settings, each as ``name=value``.
    """
    words = [] if preset is None else ["--preset", preset]
    return [*words, *(word for setting in settings for word in ("--set", setting))]


def run_searches(searches: Sequence[Search], jobs: int, progress: Progress) -> list[Failure]:
    """Run `searches`, at most `jobs` at once; one that fails does not stop the others.

    Raises:
        KeyboardInterrupt: the user stopped it; the searches under way are ended, and can be continued.
    """
    queue = list(searches)
    running: list[_Process] = []
    failures: list[Failure] = []
    try:
        while queue or running:
            while queue and len(running) < jobs:
                running.append(_start(queue.pop(0), jobs))
                started = f"{len(searches) - len(queue)} of {len(searches)}"
                progress(f"{running[-1].title}: started ({started})")
            for each in list(running):
                if each.process.poll() is not None:
                    running.remove(each)
                    failures += _ended(each, progress)
            time.sleep(_POLL_SECONDS)
    finally:
        _stop(running)
    return failures


@dataclass
class _Process:
    search: Search
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def title(self) -> str:
        return f"{self.search.task}, seed {self.search.seed}"


def _start(search: Search, jobs: int) -> _Process:
    log = search.out.with_name(f"{search.out.name}.log")
    threads = str(max(1, cores() // jobs))
    environment: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with log.open("wb") as file:
        # A session of its own: Ctrl-C reaches this process first, which then ends the searches in order.
        process = subprocess.Popen(
            search.command(), stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
    return _Process(search, process, log)


def _ended(each: _Process, progress: Progress) -> list[Failure]:
    """The failure of a search that has ended; none if it has succeeded."""
    if each.process.returncode == 0:
        each.log.unlink(missing_ok=True)
        progress(f"{each.title}: done in {time.monotonic() - each.started:.0f} s")
        return []
    failure = Failure(task=each.search.task, seed=each.search.seed, reason=_last_line(each.log))
    progress(f"{each.title}: failed, {failure.reason}")
    return [failure]


def _stop(running: Iterable[_Process]) -> None:
    """End searches that still run; what they have finished of an epoch stays for the next time."""
    alive = [each.process for each in running if each.process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + _GRACE_SECONDS
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "it was killed without a word"
