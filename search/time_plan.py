"""How many epochs each phase gets, so that a run takes about as long as it may.

What a step of each network takes is measured first, see `step_time`. All phases whose epochs the settings leave open
then get the same part of what they would have with time enough. The plan becomes a part of the run's settings, so
that a run that is resumed keeps it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dashdeploy.data.task import Task
from dashdeploy.ops.aggconv.rates import Rates
from dashdeploy.progress import Progress
from dashdeploy.search.config.phases import TimePlan, in_words, stage_of
from dashdeploy.search.config.run_settings import EPOCHS, RunSettings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.phase_time import finishing_seconds, phase_seconds, retrain_passes
from dashdeploy.search.selection.towers import networks_trained, whole_towers
from dashdeploy.search.step_time import StepSeconds, measured_steps

DEFAULT_SECONDS = 900.0
"""What a run is planned to take where nobody says it."""
SELECTION = ("search_epochs", "shortlist_epochs", "tune_epochs")
PASS_SHARES = {name: name.replace("_epochs", "_share") for name in (*SELECTION, "retrain_epochs")}
"""Which part of the data a pass sees, by the setting of the phase's epochs."""
LEAST = 0.4
"""The part of these that is left before the final trainings become shorter as well."""
LITTLE = 0.2
"""The part of the search's steps below which a run says so."""
TRAININGS, FINAL, RESERVED = ("retrain_epochs", "backbone_epochs"), ("retrain", "backbone"), 0.5
"""The final trainings, their stages, and the part of the time that they get where it is short."""
SHORT_LIST = 3
"""Candidates where even that is too much: what was found, what all layers favour, and the original kernels."""
HINDERED = 1.5
"""How many times as long all steps have to take with several threads before the run has one."""


def leaves_epochs_open(settings: SearchSettings) -> bool:
    """Whether there is anything to plan."""
    return settings.search_epochs is None or settings.retrain_epochs is None


def plan_of_run(
    task: Task,
    asked: SearchSettings,
    whole: RunSettings,
    rates: Rates | None,
    deadline: float,
    progress: Progress,
) -> TimePlan:
    """What a run is going to do; steps are timed where there is anything to plan.

    Args:
        task: the data.
        asked: the settings; where they name epochs, these stay.
        whole: what comes of them with time enough.
        rates: by which the supernet's layers choose how they are computed.
        deadline: when it is to end, as ``time.perf_counter()`` tells it.
        progress: told of the plan.
    """
    if not leaves_epochs_open(asked):
        return TimePlan(whole, {})
    step = quickest(measured_steps(task, whole, rates), task, whole)
    plan = time_plan(task, asked, whole, step, deadline - time.perf_counter())
    if plan.threads is not None:
        progress(
            f"the run computes with {plan.threads} thread{'s' if plan.threads > 1 else ''}: steps take longer with "
            "more, which wait for each other, since other programs use this machine's processors"
        )
    progress(f"plan: {plan}")
    if whole.towers is None and networks_trained(plan.settings) > 1:
        progress(
            f"{plan.settings.towers} networks side by side are trained, which together cost less than the backbone"
        )
    every = phase_seconds(task, whole, step)
    part = plan.seconds["search"] / every["search"]
    if part < LITTLE:
        progress(
            f"this time is enough for {max(part, 0.01):.0%} of the steps of a search, so that it may find nothing; "
            f"all steps of the search and the trainings take about {in_words(sum(every.values()))}"
        )
    return plan


def quickest(steps: Sequence[StepSeconds], task: Task, whole: RunSettings) -> StepSeconds:
    """What was measured with the number of threads with which a run takes least; a little slower, the first."""
    seconds = [sum(phase_seconds(task, whole, step).values()) for step in steps]
    least = seconds.index(min(seconds))
    return steps[least] if seconds[0] > HINDERED * seconds[least] else steps[0]


def time_plan(
    task: Task, asked: SearchSettings, whole: RunSettings, step: StepSeconds, seconds: float
) -> TimePlan:
    """What fits into `seconds`.

    A backbone that is larger than the network that is searched gets as long as that one's retraining, or what is left
    of the time, up to as many steps. Where it has all of these and there is time for more than one network of the
    smaller size, several are trained, which together cost less than the backbone.

    Args:
        task: tells the numbers of samples.
        asked: the settings; where they name epochs, these stay.
        whole: what comes of them with time enough.
        step: what was measured.
        seconds: for the phases and what follows them.
    """
    for count in whole_towers(task, whole, step.backbone / step.searched):
        several = whole.model_copy(update={"towers": count, "narrow_towers": False})
        plan = _plan(task, asked, several, step, seconds)
        if (
            retrain_passes(plan.settings) >= retrain_passes(several)
            and plan.settings.backbone_epochs == several.backbone_epochs
            and sum(plan.seconds.values()) + plan.finishing <= seconds
        ):
            return plan
    return _plan(task, asked, whole, step, seconds)


def _plan(
    task: Task, asked: SearchSettings, whole: RunSettings, step: StepSeconds, seconds: float
) -> TimePlan:
    finishing = finishing_seconds(task, whole, step)
    seconds = max(0.0, seconds - finishing)
    named = asked.backbone_epochs is not None or asked.backbone_share is not None
    if named or not whole.searched_arguments:
        best = _fitted(task, asked, whole, step, seconds)
    else:
        as_quick = replace(step, backbone=min(step.backbone, step.searched))
        best = _fitted(task, asked, whole, as_quick, seconds)
        best = _with_backbone_in_time(task, best, step, seconds)
    return TimePlan(best, phase_seconds(task, best, step), step.threads, finishing)


def _with_backbone_in_time(
    task: Task, settings: RunSettings, step: StepSeconds, seconds: float
) -> RunSettings:
    taken = phase_seconds(task, settings, step)
    left = seconds - sum(taken.values()) + taken["backbone"]
    epochs = max(left, taken["retrain"]) / taken["backbone"] * settings.retrain_epochs
    if epochs >= settings.retrain_epochs:
        return settings
    count = max(1, math.ceil(epochs))
    share = settings.retrain_share * max(1e-3, epochs / count)
    return settings.model_copy(update={"backbone_epochs": count, "backbone_share": share})


def _fitted(
    task: Task, asked: SearchSettings, whole: RunSettings, step: StepSeconds, seconds: float
) -> RunSettings:
    """`whole` with as many of the steps that `asked` leaves open as fit into `seconds`, for the phases alone."""

    def parts(settings: RunSettings) -> tuple[float, float]:
        """Seconds until the kernels are chosen, and of the final trainings."""
        final, total = 0.0, 0.0
        for name, taken in phase_seconds(task, settings, step).items():
            final, total = final + taken * (stage_of(name) in FINAL), total + taken
        return total - final, final

    def fits(settings: RunSettings) -> bool:
        return sum(parts(settings)) <= seconds

    def longest(
        choices: Callable[[float], RunSettings], fit: Callable[[RunSettings], bool] = fits
    ) -> RunSettings:
        low, high = 0.0, 1.0
        for _ in range(20):
            part = (low + high) / 2
            low, high = (part, high) if fit(choices(part)) else (low, part)
        return choices(low)

    best = whole
    # What is found out about the candidates has to be worth more than the trainings that it makes shorter.
    if not fits(best) and asked.shortlist_parts is None:
        fewer = [
            best.model_copy(update={"shortlist_parts": n}) for n in range(best.shortlist_parts - 1, 0, -1)
        ]
        best = next(filter(fits, fewer), fewer[-1] if fewer else best)
    for candidates in (best.shortlist, min(best.shortlist, SHORT_LIST)):
        if not fits(best):
            kept = whole.model_copy(update={"shortlist_parts": best.shortlist_parts, "shortlist": candidates})
            best = longest(partial(_shortened_to_least, kept, asked))
    if not fits(best):
        least = shortened(in_single_passes(kept, asked), asked, LEAST, SELECTION)
        # Kernels that nobody has trained serve nobody, so the final trainings have half of the time for certain.
        left = seconds - min(parts(least)[1], RESERVED * seconds)
        chosen = longest(
            lambda part: shortened(least, asked, part, SELECTION), lambda each: parts(each)[0] <= left
        )
        left = seconds - min(parts(chosen)[0], RESERVED * seconds)
        best = longest(
            lambda part: shortened(chosen, asked, part, TRAININGS), lambda each: parts(each)[1] <= left
        )
    return best


def _shortened_to_least(whole: RunSettings, asked: SearchSettings, part: float) -> RunSettings:
    return shortened(whole, asked, LEAST + part * (1 - LEAST), SELECTION)


def shortened(whole: RunSettings, asked: SearchSettings, part: float, names: Sequence[str]) -> RunSettings:
    """`whole` with `part` of the epochs that `asked` leaves open; below one epoch, with a part of the data in it.

    Args:
        whole: what would be done.
        asked: what was asked for.
        part: 0 to 1.
        names: of the settings that may become less.
    """
    changes: dict[str, object] = {}
    for name in names:
        epochs = getattr(whole, name)
        follows = name in ("shortlist_epochs", "tune_epochs") and asked.retrain_epochs is not None
        if getattr(asked, name) is not None or epochs is None or follows:
            continue
        changes[name] = max(1, round(part * epochs))
        share = PASS_SHARES.get(name)
        if share and part * epochs < 1:
            changes[share] = max(1e-3, part * epochs) * getattr(whole, share)
    return whole.model_copy(update=changes)


def with_freed_time(settings: RunSettings, whole: RunSettings) -> RunSettings:
    """`settings` for a run in which the backbone needs no training of its own, since its kernels were chosen.

    The final trainings take over its steps, up to those that they would have with time enough.

    Args:
        settings: what is planned.
        whole: what would be done with time enough.
    """
    if settings.backbone_epochs is not None:
        return settings

    planned = retrain_passes(settings)
    wanted = min(planned + planned / settings.ensemble, max(retrain_passes(whole), planned))
    share = min(whole.retrain_share, settings.retrain_share * wanted / planned)
    epochs = max(settings.retrain_epochs, int(wanted / (settings.epoch_passes * share)))
    return settings.model_copy(update={"retrain_epochs": epochs, "retrain_share": share})


def in_single_passes(settings: RunSettings, asked: SearchSettings) -> RunSettings:
    """The same steps in epochs of one pass over the data, which can be counted out better where time is short.

    Args:
        settings: what would be done.
        asked: what was asked for. Epochs that were asked for are left alone, and so are the trials of a tuning.
    """
    passes = settings.epoch_passes
    if asked.epoch_passes is not None or asked.tune != "none" or any(getattr(asked, name) for name in EPOCHS):
        return settings
    names = ("search_epochs", "shortlist_epochs", "retrain_epochs")
    return settings.model_copy(
        update={"epoch_passes": 1} | {name: passes * getattr(settings, name) for name in names}
    )
