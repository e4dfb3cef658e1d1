"""Hyperparameter tuning of the found network, by the trials of an Optuna study that several processes may share.

DASH tunes on a grid of learning rate, dropout, weight decay and momentum (Shen, Khodak, Talwalkar, NeurIPS 2022,
section 3.3 and appendix), by short trainings from the same initial weights, judged on validation data; rates are
tried in their order and the search ends with the first that brings nothing. The alternative is Optuna's TPE
(Bergstra et al., NeurIPS 2011) with median pruning, or asynchronous successive halving of random trials, as DASHA
does (`halving`).

The study lies in the run's folder (SQLite) or at a storage of the user's. Only the run's own process adds trials;
any process may work them off. A process that dies loses none: its trial's heartbeat stops, and the trial is put
back. Nothing of the grid depends on which process ran what; the other two judge a trial by those before it. A killed
tuning that one process works on goes on to the same end.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import PartialFixedSampler, RandomSampler
from optuna.storages import fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.staging.directory import phase_result
from dashdeploy.search.training.batches import EPOCHS_PER_SEED
from dashdeploy.search.tuning.halving import (
    HalvingPruner,
    make_checkpoint_folder,
    remove_checkpoints,
    rung_after,
)
from dashdeploy.search.tuning.space import Hyperparameters, drawn, groups, suggest, untuned
from dashdeploy.search.tuning.study import (
    PUT_BACK,
    STUDY,
    WORKER,
    open_study,
    quiet_optuna,
    record_heartbeat,
    study_lock,
    writing_to_the_study,
)

DONE = "done"
POLL_SECONDS = 0.5
MAIN = "main"

Objective = Callable[[Trial, Hyperparameters], float]
"""Trains once and gives the validation metric; may report per epoch and be pruned."""


@dataclass(frozen=True)
class Tuning:
    """What every process needs that works on a study.

    Attributes:
        settings: which way, and the values to choose from.
        folder: the unfinished run.
        objective: trains once.
        higher_is_better: of the metric.
        dropout: whether the backbone has one.
        worker: which process this is; `MAIN` is the run's own.
        progress: told of every trial.
    """

    settings: RunSettings
    folder: Path
    objective: Objective
    higher_is_better: bool
    dropout: bool
    worker: str = MAIN
    progress: Progress = silent


@dataclass(frozen=True)
class Tuned:
    """What a tuning chose.

    Attributes:
        chosen: the hyperparameters.
        trials: the content of ``tuning.json``: every trial, and what was chosen.
        seconds: that the busiest process spent on trials.
    """

    chosen: Hyperparameters
    trials: dict[str, Any]
    seconds: float


def worker_name() -> str:
    """This process, as the study names it where it is not the run's own."""
    return f"{os.uname().nodename} {os.getpid()}"


def tune(tuning: Tuning, *, seconds: float | None = None) -> Tuned:
    """Find the hyperparameters of retraining; a study that was interrupted goes on.

    Args:
        tuning: the study and its objective.
        seconds: how long it may take; the trials that are done by then decide.

    Raises:
        InputError: the study cannot be opened or written.
    """
    with writing_to_the_study(tuning.settings, tuning.folder):
        return _tune(tuning, seconds)


def _tune(tuning: Tuning, seconds: float | None) -> Tuned:
    settings, folder = tuning.settings, tuning.folder
    started = time.perf_counter()
    study = open_study(settings, folder, higher_is_better=tuning.higher_is_better)
    make_checkpoint_folder(folder)
    with study_lock(folder):
        _put_back(study, {None, tuning.worker})

    def is_late() -> bool:
        late = seconds is not None and time.perf_counter() - started >= seconds
        return late and bool(_done(study))

    plan = groups(settings, dropout=tuning.dropout)
    for number, group in enumerate(plan):
        if is_late() or _brings_nothing(tuning, study, number):
            break
        while True:
            with study_lock(folder):
                _enqueue(study, group)
            if not _open(study) or is_late():
                break
            _work(tuning, study)
    study.set_user_attr(DONE, True)
    remove_checkpoints(folder)
    trials = _in_order(tuning, study)
    chosen = _best(tuning, trials)
    return Tuned(chosen, _report(settings, trials, chosen), _seconds(trials))


def help_tuning(tuning: Tuning) -> int:
    """Work off trials of another process's tuning until it is done; gives how many were worked off.

    Raises:
        InputError: the study cannot be opened or written.
    """
    folder, count = tuning.folder, 0
    study = open_study(tuning.settings, folder, higher_is_better=tuning.higher_is_better)
    try:
        with writing_to_the_study(tuning.settings, folder):
            while folder.exists() and phase_result(folder, STUDY) is None and not study.user_attrs.get(DONE):
                count += _work(tuning, study)
    except Exception:
        if folder.exists():
            raise
        # The run ran out of time, went on without this trial, and was finished meanwhile: nothing is missing.
    return count


def _enqueue(study: optuna.Study, group: Sequence[dict[str, Any]]) -> None:
    """Add those trials of a group that an interrupted process had not added yet, or had not put back."""
    alive = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
    known = [trial.system_attrs.get("fixed_params") for trial in alive]
    missing = [params for params in group if params not in known] if any(group) else group[len(alive) :]
    for params in missing:
        study.enqueue_trial(params)


def _open(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING)))


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _work(tuning: Tuning, study: optuna.Study) -> bool:
    """Run one waiting trial, or wait a little; gives whether there was one."""
    taken: list[int] = []
    ended: list[bool] = []
    # A trial that waits must be there until it is taken: of none, Optuna would make a new one.
    taking = study_lock(tuning.folder)

    def run(trial: Trial) -> float:
        taken.append(trial.number)
        # First, since one that dies with its name on a trial is known by a heartbeat that has stopped.
        record_heartbeat(trial)
        # Before anybody else can take one, since of successive halving the next takes the next choice.
        chosen = suggest(trial, tuning.settings, dropout=tuning.dropout)
        trial.set_user_attr(WORKER, tuning.worker)
        taking.release()
        value = tuning.objective(trial, chosen)
        tuning.progress(f"tuning, trial {trial.number + 1}: {chosen}: {value:.4f}")
        ended.append(True)
        return value

    with quiet_optuna():
        try:
            with taking:
                fail_stale_trials(study)
                _put_back(study, {None})
                waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
                if waiting:
                    _prepare(study, tuning)
                    study.optimize(run, n_trials=1)
            if not waiting:
                time.sleep(POLL_SECONDS)
                return False
        except BaseException:
            if ended and study.trials[taken[0]].state == TrialState.FAIL:
                # This process was asleep for longer than the grace period: its trial waits again already.
                return True
            for number in taken:
                _plan_again(study, study.trials[number])
            raise
    return True


def _prepare(study: optuna.Study, tuning: Tuning) -> None:
    """Sampler and pruner for the next trial; what is sampled depends on what is known, so it can be resumed."""
    settings = tuning.settings
    study.pruner = optuna.pruners.NopPruner()
    if settings.tune == "asha":
        alive = [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]
        seeds = {trial.params.get("seed") for trial in alive}
        waiting = (
            params for params in drawn(settings, dropout=tuning.dropout) if params["seed"] not in seeds
        )
        study.sampler = PartialFixedSampler(next(waiting, {}), RandomSampler())
        study.pruner = HalvingPruner()
    if settings.tune == "tpe":
        # Another process may have sampled with what is known now; of one seed, random samples would be the same.
        taken = len(_done(study)) + len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
        seed = (settings.seed * EPOCHS_PER_SEED + taken) % 2**32
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1)


def _put_back(study: optuna.Study, workers: Collection[str | None]) -> None:
    """Let the trials wait again that are under way for workers who are known to be dead, before a heartbeat says so.

    Called while this process may take trials: one that nobody's name is on was taken by a process that died while it
    might, perhaps before its first heartbeat. The run's own process may put back its own: it holds the run's lock.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if trial.user_attrs.get(WORKER) in workers:
            study.tell(trial.number, state=TrialState.FAIL)
            _plan_again(study, trial)


def _plan_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Put a trial of the grid back; others are sampled anew, which knowing the same gives the same."""
    if trial.system_attrs.get("fixed_params"):
        with quiet_optuna():
            PUT_BACK(study, trial)


def _brings_nothing(tuning: Tuning, study: optuna.Study, number: int) -> bool:
    """Whether the group before `number` was no better than those before it."""
    if number < 2:
        return False
    rates = list(tuning.settings.tune_learning_rates)
    best = []
    for part in (rates[: number - 1], rates[number - 1 : number]):
        values = [
            trial.value
            for trial in _done(study)
            if trial.params["learning_rate"] in part and trial.value is not None
        ]
        best.append((max if tuning.higher_is_better else min)(values))
    return best[1] <= best[0] if tuning.higher_is_better else best[1] >= best[0]


def _in_order(tuning: Tuning, study: optuna.Study) -> list[FrozenTrial]:
    """The trials that came to an end, in the order in which they were planned, whoever ran them."""
    if tuning.settings.tune == "asha":
        plan = drawn(tuning.settings, dropout=tuning.dropout)
    else:
        plan = [params for group in groups(tuning.settings, dropout=tuning.dropout) for params in group]

    def place(trial: FrozenTrial) -> int:
        return plan.index(trial.params) if trial.params in plan else _origin(trial)

    return sorted(_done(study), key=place)


def _origin(trial: FrozenTrial) -> int:
    """The number of a trial before it was put back."""
    return int(trial.system_attrs.get("failed_trial", trial.number))


def _best(tuning: Tuning, trials: Sequence[FrozenTrial]) -> Hyperparameters:
    """The best trial's choice; of equals, the first one's.

    Of successive halving, the best of those that got furthest: all that reached the end may have diverged there.
    """
    sign = 1 if tuning.higher_is_better else -1
    halves = tuning.settings.tune == "asha"
    states = (TrialState.COMPLETE, TrialState.PRUNED) if halves else (TrialState.COMPLETE,)
    ended = [t for t in trials if t.state in states and t.value is not None and math.isfinite(t.value)]
    if not ended:
        return untuned(tuning.settings, dropout=tuning.dropout)

    def rank(trial: FrozenTrial) -> tuple[int, float]:
        return (trial.last_step or 0) if halves else 0, sign * (trial.value or 0.0)

    return Hyperparameters(**max(ended, key=rank).params)


def _seconds(trials: Sequence[FrozenTrial]) -> float:
    """What the busiest worker spent on trials that came to an end.

    The duration of a trial that was lost with its process counts until somebody noticed, perhaps the next day.
    """
    spent: dict[str, float] = {}
    for trial in trials:
        worker = trial.user_attrs.get(WORKER, MAIN)
        spent[worker] = spent.get(worker, 0.0) + (trial.duration or timedelta()).total_seconds()
    return max(spent.values(), default=0.0)


def _reached(trial: FrozenTrial) -> dict[str, Any]:
    epochs = trial.last_step or 0
    return {"epochs": epochs, "rung": rung_after(epochs)}


def _report(settings: RunSettings, trials: Sequence[FrozenTrial], chosen: Hyperparameters) -> dict[str, Any]:
    return {
        "way": settings.tune,
        "chosen": chosen.as_dict(),
        "trials": [
            {
                "state": trial.state.name.lower(),
                "value": trial.value if trial.value is not None and math.isfinite(trial.value) else None,
                **(_reached(trial) if settings.tune == "asha" else {}),
                **trial.params,
            }
            for trial in trials
        ],
    }
