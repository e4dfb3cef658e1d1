"""By which rates a run's AggConvs choose how they are computed: measured on a GPU, the table on the CPU.

They belong to the run. One that is resumed goes on with those that it was started with, whatever it is resumed on, so
that every layer is computed as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from dashdeploy.data.task import Task
from dashdeploy.ops.aggconv.cost import Choice
from dashdeploy.ops.aggconv.device_rates import SECONDS, measured_rates
from dashdeploy.ops.aggconv.layer_choices import SECONDS as CHOICE_SECONDS
from dashdeploy.ops.aggconv.layer_choices import choices_as_json, choices_from_json, measured_choices
from dashdeploy.ops.aggconv.module import AggConv
from dashdeploy.ops.aggconv.rates import Rates, rates_as_json, rates_from_json, table_for
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.ranks import device_of, devices_of, local_rank
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.probe import run_once

CPU = "cpu"
HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
"""Lightning's names of mixed precisions, and what autocast computes in."""


@dataclass(frozen=True)
class ComputationRates:
    """Rates, and where they are from.

    Attributes:
        device: the GPU's name, or ``cpu``.
        measured: whether they were measured, or are a table.
        rates: what ``auto`` chooses by.
        choices: what it takes instead, by the layer's signature, where every computation of a layer was timed.
    """

    device: str
    measured: bool
    rates: Rates
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As JSON has them."""
        content = {"device": self.device, "measured": self.measured, "rates": rates_as_json(self.rates)}
        return content | ({"choices": choices_as_json(self.choices)} if self.choices else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ComputationRates:
        """What `as_json` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(
                str(content["device"]),
                bool(content["measured"]),
                rates_from_json(content["rates"]),
                choices_from_json(content.get("choices", {})),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not rates of a run: {error}") from error


def cpu_rates(precision: str = "32-true") -> ComputationRates:
    """The table of this processor, with one of Lightning's precisions."""
    return ComputationRates(CPU, measured=False, rates=table_for(CPU, HALF.get(precision)))


def device_name(settings: RunSettings) -> str:
    """What this process computes on, as `ComputationRates` names it."""
    devices = devices_of(settings)
    return torch.cuda.get_device_name(local_rank(devices)) if devices.is_cuda else CPU


def rates_of_run(
    known: ComputationRates | None, settings: RunSettings, progress: Progress = silent
) -> ComputationRates:
    """What a run goes by: what it was started with, or `rates_here` if it is new.

    Args:
        known: what it was started with; None if it is new.
        settings: see `rates_here`.
        progress: told where the run was started on another device, and what `rates_here` tells.
    """
    if known is None:
        return rates_here(settings, progress)
    if (here := device_name(settings)) != known.device:
        progress(
            f"this run was started on {known.device} and keeps the rates of that on {here}: every AggConv is "
            "computed as before"
        )
    return known


def with_choices(
    rates: ComputationRates,
    supernet: nn.Module,
    task: Task,
    settings: RunSettings,
    progress: Progress = silent,
) -> ComputationRates:
    """The rates with the quickest computation of each layer of the supernet, timed on a GPU.

    Args:
        rates: of a new run.
        supernet: on the CPU; it stays as it is.
        task: tells the inputs' shape and the number of samples.
        settings: the device, the precision, the method and the batch size.
        progress: told before anything is timed, and where that fails.
    """
    devices = devices_of(settings)
    if not (rates.measured and devices.is_cuda) or settings.method != "auto":
        return rates
    batch = min(settings.batch_size, len(task.train.targets)) // devices.processes
    progress(f"timing each way to compute each layer of the supernet, for about {CHOICE_SECONDS:g} s")
    try:
        choices = measured_choices(
            layer_inputs(supernet, task.input_shape),
            batch,
            device_of(settings),
            rates.rates,
            dtype=HALF.get(settings.precision),
            seconds=CHOICE_SECONDS,
        )
    except RuntimeError as error:  # torch's only class for whatever a GPU cannot do
        progress(f"{rates.device}: the layers cannot be timed ({error}); going by the rates alone")
        return rates
    return replace(rates, choices=choices)


def layer_inputs(supernet: nn.Module, input_shape: Sequence[int]) -> list[tuple[AggConv, tuple[int, ...]]]:
    """The AggConvs that a forward pass comes by, each with the spatial extents of its input; all states stay."""
    found: list[tuple[AggConv, tuple[int, ...]]] = []

    def look(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, AggConv)
        found.append((layer, tuple(inputs[0].shape[2:])))

    handles = [layer.register_forward_pre_hook(look) for layer in agg_convs(supernet).values()]
    try:
        run_once(supernet, input_shape)
    finally:
        for handle in handles:
            handle.remove()
    return found


def rates_here(settings: RunSettings, progress: Progress = silent) -> ComputationRates:
    """The rates of the device that the settings name: measured on a GPU where the run goes by them.

    Args:
        settings: the device, the precision and the method.
        progress: told before anything is measured, and where the table has to do.
    """
    devices = devices_of(settings)
    if not devices.is_cuda:
        return cpu_rates(settings.precision)
    name = device_name(settings)
    if settings.method not in ("auto", "fourier"):
        return ComputationRates(name, measured=False, rates=table_for("cuda"))
    progress(f"measuring the ways to compute an AggConv on {name}, for about {SECONDS:g} s")
    try:
        rates = measured_rates(torch.device("cuda", local_rank(devices)), dtype=HALF.get(settings.precision))
    except RuntimeError as error:  # torch's only class for whatever a GPU cannot do
        progress(f"{name}: the rates cannot be measured ({error}); taking the table of GPUs")
        return ComputationRates(name, measured=False, rates=table_for("cuda"))
    return ComputationRates(name, measured=True, rates=rates)
