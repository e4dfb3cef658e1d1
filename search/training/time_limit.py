"""`max_seconds`: a run that ends in time, with a result, because every phase gets its share of what is left."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence

import lightning as L
from lightning.pytorch.callbacks import Callback

from dashdeploy.search.config.phases import PhaseName, Stage, stage_of
from dashdeploy.search.training.lightning_module import PhaseModule

SHARES: Mapping[Stage, float] = {"search": 3, "shortlist": 2, "tune": 2, "retrain": 3, "backbone": 3}
"""How the time that is left is divided among the phases that are left, where nothing was measured."""


class TimeLimit:
    """The time that a run may take, the parts before an interruption included.

    Args:
        deadline: when the run is to end, as ``time.perf_counter()`` tells it; None sets no limit.
        phases: names of the run's phases, in order.
        expected: what each is expected to take, by which they share what is left; None is `SHARES`.
        before: seconds that phases took which were finished before an interruption.
        after: seconds that are kept for what follows the phases.
    """

    def __init__(
        self,
        deadline: float | None,
        phases: Sequence[PhaseName],
        expected: Mapping[PhaseName, float] | None = None,
        *,
        before: float = 0.0,
        after: float = 0.0,
    ) -> None:
        self.end = None if deadline is None else deadline - before - after
        self.phases = phases
        self.expected = {name: SHARES[stage_of(name)] for name in phases} if expected is None else expected

    def share(self, phase: PhaseName) -> float | None:
        """Seconds that `phase` may take, if it starts now; at least one."""
        if self.end is None:
            return None
        left = self.end - time.perf_counter()
        following = self.phases[self.phases.index(phase) :]
        return max(1.0, left * self.expected[phase] / sum(self.expected[name] for name in following))

    def without(self, phase: PhaseName) -> TimeLimit:
        """The same limit for a run that skips `phase`, so that the others share its time."""
        other = copy.copy(self)
        other.phases = [name for name in self.phases if name != phase]
        return other


class StopInTime(Callback):
    """Ends a phase with the epoch in which its time runs out; its learning rate has fallen by then."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look at the clock."""
        assert isinstance(pl_module, PhaseModule)
        if pl_module.time_limit is not None:
            late = pl_module.seconds >= pl_module.time_limit
            trainer.should_stop |= trainer.strategy.broadcast(late)  # all processes end with the same epoch
