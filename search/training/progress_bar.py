"""The progress of a phase: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from dashdeploy.progress import Progress, to_stderr
from dashdeploy.search.config.phases import Stage, member_of, stage_of
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.training.lightning_module import PhaseModule

TITLES: Mapping[Stage, str] = {
    "search": "searching kernels",
    "tune": "tuning",
    "retrain": "training the searched network",
    "backbone": "training the backbone",
}
LINES_PER_PHASE = 4


class PhaseProgress(Callback):
    """Shows the epoch, the losses, the validation metric and the time left of one phase.

    If `progress` is `to_stderr` and that is a terminal, it draws a bar, and in the search a table of the kernels that
    lead at the moment as well. Anything else gets lines.

    Args:
        progress: told of some epochs, in words.
        console: stderr, where a bar is drawn.
    """

    def __init__(self, progress: Progress, console: Console | None = None) -> None:
        super().__init__()
        self.progress, self.console = progress, console or Console(stderr=True)
        self.bar: Bar | None = None
        self.live: Live | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar, at the epoch a resumed phase goes on from."""
        assert isinstance(pl_module, PhaseModule)
        if self.progress is not to_stderr or not self.console.is_terminal:
            return
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs {task.fields[status]}"),
            TimeRemainingColumn(),
        )
        self.live = Live(self.bar, console=self.console, refresh_per_second=2)
        self.live.start()
        self.bar.add_task(
            title_of(pl_module),
            total=pl_module.phase.epochs,
            completed=trainer.current_epoch,
            status="",
        )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show what the epoch brought."""
        assert isinstance(pl_module, PhaseModule)
        done, total = trainer.current_epoch + 1, pl_module.phase.epochs
        status = summary(pl_module.record, pl_module.task.metric.name)
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=done, status=status)
            if "kernels" in pl_module.record and self.live is not None:
                names = list(agg_convs(pl_module.network))
                self.live.update(Group(leaders(names, pl_module.record), self.bar))
        elif done == total or done % max(1, total // LINES_PER_PHASE) == 0:
            self.progress(f"{title_of(pl_module)}: epoch {done}/{total} {status}")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Close the bar."""
        self._close()

    def on_exception(
        self,
        trainer: L.Trainer,  # noqa: ARG002
        pl_module: L.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Close the bar, so that the error stands on a line of its own."""
        self._close()

    def _close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = self.bar = None


def title_of(module: PhaseModule) -> str:
    """What a phase does, in words; of an ensemble, for which member."""
    stage, members = stage_of(module.phase.name), module.settings.ensemble
    if stage != "retrain" or members == 1:
        return TITLES[stage]
    return f"{TITLES[stage]}, member {member_of(module.phase.name)} of {members}"


def leaders(names: Sequence[str], record: Mapping[str, Any]) -> Table:
    """The kernel size and dilation that lead in each layer, and how decided it is."""
    shown = Table(box=None, pad_edge=False)
    for header in ("layer", "kernel", "dilation", "entropy of alpha"):
        shown.add_column(header, justify="left" if header == "layer" else "right")
    for name, (kernel_size, dilation), entropy in zip(
        names, record["kernels"], record["entropy"], strict=True
    ):
        shown.add_row(name, str(kernel_size), str(dilation), f"{entropy:.3f}")
    if "latency_ms" in record:
        shown.add_row("expected latency", "", "", f"{record['latency_ms']:.4g} ms")
    return shown


def summary(record: dict[str, Any], metric: str) -> str:
    """One epoch in a few words."""
    return f"loss {record['train_loss']:.4f}, validation {metric} {record[f'validation_{metric}']:.4f}"
