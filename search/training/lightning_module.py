"""One training phase as a LightningModule: a network, its optimizer, and what each epoch brought."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from dashdeploy.artifacts.run import normalized_entropy
from dashdeploy.backbones.ensemble import members_of
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.ops.training.prepare import prepare_for_training
from dashdeploy.ops.training.reparameterization import reparameterize
from dashdeploy.search.config.phases import Phase
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.latency.loss_term import LatencyLoss
from dashdeploy.search.supernet.architecture_gradient import mix, shape_gradients
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.training.augmentation import training_loss
from dashdeploy.search.training.batches import (
    TensorBatches,
    evaluation_batch,
    joined,
    pinned_for,
    placed,
    shuffled,
)
from dashdeploy.search.training.optimizer import SCHEDULES, clip_gradients, optimizer_of

STATE_KEY = "dashdeploy"
CLOCK_BATCHES = 16
"""How often several processes compare their clocks: they wait for each other, and for their GPUs, to do so."""
SCALARS = ("train_loss", "validation_loss")


class DivergedError(InputError):
    """A loss that is not finite any more.

    Attributes:
        epoch: in which it became so, from 0.
        loss: what became what, in words.
    """

    def __init__(self, message: str, epoch: int, loss: str) -> None:
        super().__init__(message)
        self.epoch, self.loss = epoch, loss


class PhaseModule(L.LightningModule):
    """Trains `network` for one phase and remembers the weights of its best epoch on validation data.

    The weights and, in the search, the architecture parameters are learned together on the training data, by
    one optimizer with a group for each, as in DASH: no bilevel optimization.

    Attributes:
        record: what the last epoch brought, for the history and the progress display.
        train_split: what is learned from.
        best_state: the network's weights after the best epoch; of equals, the later, whose rate was lower. The last
            epoch's where validation data is learned from.
        rate_scale: a factor on all learning rates, less than 1 after a divergence.
        time_limit: seconds after which the phase is to end; the rates fall in time for it.
        latency: the latency's part of the loss, in the search if it was asked for.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        phase: Phase,
        settings: RunSettings,
        *,
        latency: LatencyLoss | None = None,
        rate_scale: float = 1.0,
        time_limit: float | None = None,
    ) -> None:
        super().__init__()
        if phase.reparameterize:
            reparameterize(network)
        prepare_for_training(network)
        self.network, self.task, self.phase, self.settings = network, task, phase, settings
        self.metric = task.metric.create()
        self.metric.distributed_available_fn = lambda: self.trainer.world_size > 1
        self.train_split = joined(task.train, task.validation) if phase.refit else task.train
        self.batch_size = min(settings.batch_size, len(self.train_split.targets))
        self.record: dict[str, Any] = {}
        self.best_state: dict[str, Tensor] = {}
        self.best_value: float | None = None
        self.best_epoch = -1
        self.elapsed_before = 0.0
        self.started = time.perf_counter()
        self.epochs_trained = 0
        self.rate_scale, self.time_limit = rate_scale, time_limit
        self.time_spent = 0.0
        self.latency = latency
        self._random_state = torch.get_rng_state()
        self._gpu_random_state: Tensor | None = (
            None  # of a checkpoint, which is read before a device is there
        )
        self._train_data, self._validation_data = self.train_split, task.validation
        self._loss_sum = torch.zeros(())
        self._validation_loss_sum = torch.zeros(())
        self._searched = list(agg_convs(network).values())

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Go on with the random numbers behind the network's weights; Lightning may have seeded them anew."""
        torch.set_rng_state(self._random_state)

    def on_fit_start(self) -> None:
        """Put the data where it is computed with."""
        self._train_data = placed(self.train_split, self.device)
        self._validation_data = placed(self.task.validation, self.device)
        if self.device.type == "cuda" and self._gpu_random_state is not None:
            torch.cuda.set_rng_state(self._gpu_random_state, self.device)

    def on_fit_end(self) -> None:
        """Let go of what lies on a GPU."""
        self._train_data, self._validation_data = self.train_split, self.task.validation

    @property
    def seconds(self) -> float:
        """Time spent on this phase, the part before an interruption included."""
        return self.elapsed_before + time.perf_counter() - self.started

    def train_dataloader(self) -> TensorBatches:
        """Batches in an order that depends on the seed, the epoch and the pass alone."""
        split, passes = self._train_data, self.phase.passes

        def order(number: int) -> Tensor:
            return shuffled(len(split.targets), self.settings.seed, self.current_epoch * passes + number)

        processes = self.trainer.world_size
        return TensorBatches(
            split,
            self.batch_size - self.batch_size % processes,
            order=order,
            passes=passes,
            share=self.phase.share,
            drop_last=True,
            rank=self.trainer.global_rank,
            processes=processes,
            pinned_for=pinned_for(split, self.device),
        )

    def val_dataloader(self) -> TensorBatches:
        """The validation data in its own order."""
        split = self._validation_data
        return TensorBatches(
            split,
            max(self.batch_size, evaluation_batch(split, self.device)),
            rank=self.trainer.global_rank,
            processes=self.trainer.world_size,
            pinned_for=pinned_for(split, self.device),
        )

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own union of a dozen types
        """One optimizer; weights and architecture parameters are groups of their own."""
        optimizer = optimizer_of(
            self.network, [layer.alpha for layer in self._searched], self.phase, self.settings
        )
        factor = SCHEDULES[self.settings.schedule]
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda done: self.rate_scale * factor(self._progress(done))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _progress(self, steps: int | None = None) -> float:
        """The part of the phase that is done after so many steps (None: now), 0 to 1; a time limit hastens it."""
        per_epoch = -(-len(self.train_dataloader()) // self.settings.accumulate)
        done = (self.global_step if steps is None else steps) / (self.phase.epochs * per_epoch)
        return min(1.0, max(done, self.time_spent))

    def on_train_start(self) -> None:
        """A resumed optimizer has the rates of its checkpoint; scale them if they were too large."""
        self._look_at_the_clock()
        schedule: Any = self.lr_schedulers()
        for group, base, rate in zip(
            self.optimizers().param_groups,  # type: ignore[union-attr]
            schedule.base_lrs,
            schedule.lr_lambdas,
            strict=True,
        ):
            group["lr"] = base * rate(self.global_step)

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Mix the candidates for this pass."""
        if self.trainer.world_size == 1 or batch_idx % CLOCK_BATCHES == 0:
            self._look_at_the_clock()
        mix(self._searched, self.settings, self._progress(), noise=True)

    def _look_at_the_clock(self) -> None:
        """All processes read one clock, since their rates must not differ."""
        if self.time_limit is not None:
            self.time_spent = self.trainer.strategy.broadcast(self.seconds / self.time_limit)

    def on_before_optimizer_step(self, optimizer: Any) -> None:  # noqa: ANN401, ARG002
        """Shape the gradients of the architecture parameters, all batches' together and unscaled."""
        shape_gradients(self._searched, self.settings)

    def configure_gradient_clipping(
        self,
        optimizer: Any,  # noqa: ANN401
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Clip the norm of the gradients that are meant by it."""
        if gradient_clip_val:
            clip_gradients(optimizer, gradient_clip_val, self.settings)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums anew."""
        self._loss_sum = torch.zeros((), device=self.device)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """The loss of one batch."""
        inputs, targets = batch
        loss = training_loss(self.network, inputs, targets, self.task, self.settings)
        self._loss_sum += loss.detach() / len(members_of(self.network))
        return loss if self.latency is None else loss + self.latency.penalty(self._searched)

    def on_validation_epoch_start(self) -> None:
        """Start the validation's sums anew; judge the mixture without its noise."""
        if self.trainer.world_size > 1:  # every process has seen other batches; what counts is what is kept
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)
        mix(self._searched, self.settings, self._progress(), noise=False)
        self.metric.reset()
        self._validation_loss_sum = torch.zeros((), device=self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Add one batch to the validation's loss and metric."""
        inputs, targets = batch
        logits = self.network(inputs)
        self._validation_loss_sum += self.task.loss(logits, targets) * len(targets)
        self.metric.update(logits, targets)

    def on_validation_epoch_end(self) -> None:
        """Write down what the epoch brought; it ends with its validation.

        Raises:
            DivergedError: the loss is not finite any more.
        """
        name = self.task.metric.name
        reduce = self.trainer.strategy.reduce
        train_loss = float(reduce(self._loss_sum, reduce_op="mean")) / len(self.train_dataloader())
        validation_sum = float(reduce(self._validation_loss_sum, reduce_op="sum"))
        validation_loss = validation_sum / len(self.task.validation.targets)
        if not (torch.tensor([train_loss, validation_loss]).isfinite().all()):
            loss = (
                f"{self.phase.name} diverged: in epoch {self.current_epoch + 1} the loss became "
                f"{train_loss:g} in training, {validation_loss:g} in validation"
            )
            rate = self.phase.learning_rate * self.rate_scale
            setting = "search_learning_rate" if self.phase.name == "search" else "learning_rate"
            raise DivergedError(
                f"{loss}; lower the learning rate (now {rate:g}) by `{setting}=…` and start again, or scale the "
                "inputs (`normalize=channels`)",
                self.current_epoch,
                loss,
            )
        self.epochs_trained = self.current_epoch + 1
        value = float(self.metric.compute())
        self.record = {
            "phase": self.phase.name,
            "epoch": self.current_epoch,
            "train_loss": train_loss,
            "validation_loss": validation_loss,
            f"validation_{name}": value,
        }
        searched = self._searched
        if searched:
            self.record["kernels"] = [list(module.best()) for module in searched]
            self.record["entropy"] = [normalized_entropy(_mixture(module).tolist()) for module in searched]
            self.record["alpha"] = [_shares(module) for module in searched]
        if self.latency is not None:
            self.record["latency_ms"] = self.latency.end_epoch(searched)
        if self.logger is not None:
            self.log_dict(
                {f"{self.phase.name}/{name}": self.record[name] for name in SCALARS}
                | {f"{self.phase.name}/validation_{name}": value}
            )
        if self.phase.refit or self._is_no_worse(value):
            self.best_value, self.best_epoch = value, self.current_epoch
            if not searched:  # of the search, only the last architecture counts
                state = self.network.state_dict()
                self.best_state = {key: tensor.detach().cpu().clone() for key, tensor in state.items()}

    def _is_no_worse(self, value: float) -> bool:
        """Whether `value` of the metric is at least as good as the best; NaN is worse than any."""
        best = self.best_value
        if best is None or math.isnan(best):
            return True
        return value >= best if self.task.metric.higher_is_better else value <= best

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what Lightning does not: the best weights, the random state, the time spent."""
        checkpoint[STATE_KEY] = {
            "best_state": self.best_state,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "random_state": torch.get_rng_state(),
            "gpu_random_state": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "epochs_trained": self.epochs_trained,
            "latency_weight": self.latency.weight if self.latency else 0.0,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take up again what `on_save_checkpoint` kept."""
        state = checkpoint[STATE_KEY]
        self.best_state, self.best_value = state["best_state"], state["best_value"]
        self.best_epoch, self.elapsed_before = state["best_epoch"], state["seconds"]
        self.epochs_trained = state["epochs_trained"]
        if self.latency is not None:
            self.latency.weight = state["latency_weight"]
        torch.set_rng_state(state["random_state"])
        self._gpu_random_state = state.get("gpu_random_state")


def _mixture(module: AggConv) -> Tensor:
    coefficients = module.coefficients() if module.mixing is None else module.mixing
    return coefficients.detach().double()


def _shares(module: AggConv) -> list[list[float]]:
    """The candidates' shares, by kernel size and dilation; four digits are enough for a picture."""
    rows = _mixture(module).view(len(module.kernel_sizes), -1).tolist()
    return [[round(share, 4) for share in row] for row in rows]
