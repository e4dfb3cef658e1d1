"""Accuracy over tasks and seeds: DASH beside its own backbone with the same budget, beside what is published.

Every task and seed is one `dashdeploy search`, in a process and a run directory of its own: it trains both networks
and looks at the test data once. Finished runs are kept, unfinished ones are gone on with, so the whole may be
stopped at any moment and started again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.bench.accuracy.report import AccuracyReport, Failure, SeedResult
from dashdeploy.errors import InputError
from dashdeploy.machine import cores

_POLL_SECONDS = 0.3
_GRACE_SECONDS = 20.0


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        tasks: built-in tasks.
        seeds: each task is searched once with each.
        out: the folder of the runs, ``OUT/TASK-seedN``.
        options: further words of ``dashdeploy search``, such as ``--preset quick``.
        jobs: searches at once; None means one per core.
    """

    tasks: Sequence[str]
    seeds: Sequence[int]
    out: Path
    options: Sequence[str] = ()
    jobs: int | None = None

    def runs(self) -> list[tuple[str, int]]:
        """Task and seed of every run, seed by seed, so that an early stop leaves something of every task."""
        return [(task, seed) for seed in self.seeds for task in self.tasks]

    def path(self, task: str, seed: int) -> Path:
        """The run directory of a task and a seed."""
        return self.out / f"{task}-seed{seed}"

    def command(self, task: str, seed: int) -> list[str]:
        """The search that makes it."""
        words = ["search", "--task", task, "--seed", str(seed), *self.options]
        return [*words, "--resume", "--out", str(self.path(task, seed))]


def measure_accuracy(plan: Plan, *, progress: Callable[[str], None] | None = None) -> AccuracyReport:
    """Run what is not there yet, then read all of it.

    A run that fails is reported and does not stop the others.

    Raises:
        InputError: a task is unknown, a seed is given twice, or the folder cannot be written or holds runs that
            were made otherwise.
        KeyboardInterrupt: the user stopped it; the same command goes on.
    """
    _check(plan)
    say = progress or (lambda _line: None)
    waiting = [(task, seed) for task, seed in plan.runs() if not plan.path(task, seed).exists()]
    done = len(plan.runs()) - len(waiting)
    say(f"{len(plan.runs())} runs, {done} of them are there, {_jobs(plan)} at once")
    failures = _run_all(plan, waiting, say)
    results = [
        SeedResult.of(seed, RunDirectory.load(plan.path(task, seed)))
        for task, seed in plan.runs()
        if plan.path(task, seed).exists()
    ]
    _check_settings(plan)
    return AccuracyReport(
        provenance=Provenance.now(),
        options=" ".join(plan.options),
        results=tuple(results),
        failures=tuple(failures),
    )


def _check(plan: Plan) -> None:
    from difflib import get_close_matches

    from dashdeploy.data.catalog import TASKS

    if not plan.tasks or len(set(plan.tasks)) < len(plan.tasks):
        raise InputError(f"--tasks {','.join(plan.tasks)}: name at least one task, and each once")
    for task in plan.tasks:
        if task not in TASKS:
            close = get_close_matches(task, TASKS, 1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(sorted(TASKS))}"
            raise InputError(f"--tasks {task}: no such task; {hint}")
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise InputError("seeds: give at least one, and each once")
    if plan.jobs is not None and plan.jobs < 1:
        raise InputError(f"--jobs {plan.jobs}: use an integer from 1 up")
    try:
        plan.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {plan.out}: {error.strerror}; choose another --out") from error
    if not os.access(plan.out, os.W_OK):
        raise InputError(f"cannot write {plan.out}; choose an --out that is writable")
    _check_settings(plan)


def _check_settings(plan: Plan) -> None:
    """Refuse to average runs of one task that were made with different settings, from an earlier call."""
    first: dict[str, tuple[Path, object]] = {}
    for task, seed in plan.runs():
        path = plan.path(task, seed)
        if not path.exists():
            continue
        chosen = dict(RunDirectory.load(path).config.get("settings") or {})
        settings = {k: v for k, v in chosen.items() if k != "seed"}
        known, expected = first.setdefault(task, (path, settings))
        if settings != expected:
            raise InputError(
                f"{path} was made with other settings than {known}; choose another --out, or remove one of them"
            )


def _jobs(plan: Plan) -> int:
    return plan.jobs or cores()


@dataclass
class _Running:
    process: subprocess.Popen[bytes]
    log: Path
    started: float = field(default_factory=time.monotonic)


def _run_all(plan: Plan, waiting: Sequence[tuple[str, int]], say: Callable[[str], None]) -> list[Failure]:
    queue = list(waiting)
    running: dict[tuple[str, int], _Running] = {}
    failures: list[Failure] = []
    total = len(queue)
    try:
        while queue or running:
            while queue and len(running) < _jobs(plan):
                task, seed = queue.pop(0)
                running[task, seed] = _start(plan, task, seed)
                say(f"{task}, seed {seed}: started ({total - len(queue)} of {total})")
            for (task, seed), each in list(running.items()):
                if each.process.poll() is None:
                    continue
                del running[task, seed]
                seconds = time.monotonic() - each.started
                if each.process.returncode:
                    failures.append(Failure(task=task, seed=seed, reason=_last_line(each.log)))
                    say(f"{task}, seed {seed}: failed, {failures[-1].reason}")
                else:
                    each.log.unlink(missing_ok=True)
                    say(f"{task}, seed {seed}: done in {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
    finally:
        _stop(running.values())
    return failures


def _start(plan: Plan, task: str, seed: int) -> _Running:
    log = plan.out / f"{task}-seed{seed}.log"
    threads = str(max(1, cores() // _jobs(plan)))
    environment: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with log.open("wb") as file:
        # A session of its own: Ctrl-C reaches this process first, which then ends the searches in order.
        process = subprocess.Popen(
            [sys.executable, "-m", "dashdeploy", *plan.command(task, seed)],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return _Running(process, log)


def _stop(running: object) -> None:
    """End searches that still run; what they have finished of an epoch stays for the next time."""
    from collections.abc import Iterable

    assert isinstance(running, Iterable)
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
