"""By which rates a run's AggConvs choose how they are computed: measured on a GPU, the table on the CPU.

They belong to the run. One that is resumed goes on with those that it was started with, whatever it is resumed on, so
that every layer is computed as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dashdeploy.ops.aggconv.device_rates import SECONDS, measured_rates
from dashdeploy.ops.aggconv.rates import Rates, rates_as_json, rates_from_json, table_for
from dashdeploy.progress import Progress, silent
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.distributed.ranks import devices_of, local_rank

CPU = "cpu"


@dataclass(frozen=True)
class ComputationRates:
    """Rates, and where they are from.

    Attributes:
        device: the GPU's name, or ``cpu``.
        measured: whether they were measured, or are a table.
        rates: what ``auto`` chooses by.
    """

    device: str
    measured: bool
    rates: Rates

    def as_json(self) -> dict[str, Any]:
        """As JSON has them."""
        return {"device": self.device, "measured": self.measured, "rates": rates_as_json(self.rates)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ComputationRates:
        """What `as_json` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(str(content["device"]), bool(content["measured"]), rates_from_json(content["rates"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not rates of a run: {error}") from error


def cpu_rates() -> ComputationRates:
    """The table of this processor."""
    return ComputationRates(CPU, measured=False, rates=table_for(CPU))


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


def rates_here(settings: RunSettings, progress: Progress = silent) -> ComputationRates:
    """The rates of the device that the settings name: measured on a GPU where the run goes by them.

    Args:
        settings: the device, the precision and the method.
        progress: told before anything is measured, and where the table has to do.
    """
    devices = devices_of(settings)
    if not devices.is_cuda:
        return cpu_rates()
    name = device_name(settings)
    if settings.method not in ("auto", "fourier"):
        return ComputationRates(name, measured=False, rates=table_for("cuda"))
    progress(f"measuring the ways to compute an AggConv on {name}, for about {SECONDS:g} s")
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(settings.precision)
    try:
        rates = measured_rates(torch.device("cuda", local_rank(devices)), dtype=dtype)
    except RuntimeError as error:  # torch's only class for whatever a GPU cannot do
        progress(f"{name}: the rates cannot be measured ({error}); taking the table of GPUs")
        return ComputationRates(name, measured=False, rates=table_for("cuda"))
    return ComputationRates(name, measured=True, rates=rates)
