"""The options of ``search`` that choose its settings, and what bounds a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dashdeploy.cli.options.groups import OptionGroup
from dashdeploy.cli.options.values import duration, positive_integers
from dashdeploy.errors import InputError
from dashdeploy.runtimes.names import TargetName

Method = Literal["auto", "fourier", "per-dilation", "mixed-weights", "mixed-results"]
Preset = Literal["quick", "paper"]


class SearchSpace(OptionGroup, panel="Network and search space"):
    """The network, and the kernels to choose from."""

    backbone: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            help="The network whose kernels are searched: resnet1d, tcn, unet1d, wide_resnet, convnext, "
            "or module:factory for your own; auto takes resnet1d for series and wide_resnet for images.",
        ),
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            min=1,
            help="The number of channels of the first block, for resnet1d, unet1d and networks that have a width.",
        ),
    ] = None
    kernel_sizes: Annotated[
        str | None, typer.Option("--kernel-sizes", help="The kernel sizes to choose from, such as 3,5,7,9.")
    ] = None
    dilations: Annotated[
        str | None, typer.Option("--dilations", help="The dilations to choose from, such as 1,3,7,15.")
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="PATTERN",
            help="Names of convolutions to leave unchanged; * and ? are wildcards. You can repeat it.",
        ),
    ] = None
    separable: Annotated[
        bool | None,
        typer.Option("--separable/--dense", help="Search layers with equal channels depthwise."),
    ] = None
    method: Annotated[
        Method | None,
        typer.Option(
            "--method", help="How to compute the mixture; auto takes the cheapest way for each layer."
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The settings by name; None is not given.

        Raises:
            InputError: a list is none.
        """
        read = self.values() | {"exclude": self.exclude or None}
        if self.kernel_sizes is not None:
            read["kernel_sizes"] = positive_integers("--kernel-sizes", self.kernel_sizes, noun="kernel size")
        if self.dilations is not None:
            read["dilations"] = positive_integers("--dilations", self.dilations, noun="dilation")
        return read


class Training(OptionGroup, panel="Training"):
    """How long and where to train; the fields are settings of the search."""

    search_epochs: Annotated[
        int | None,
        typer.Option("--search-epochs", min=1, help="The number of passes over the data in the search."),
    ] = None
    retrain_epochs: Annotated[
        int | None,
        typer.Option(
            "--retrain-epochs", min=1, help="The number of passes over the data in the final training."
        ),
    ] = None
    ensemble: Annotated[
        int | None,
        typer.Option(
            "--ensemble",
            metavar="N",
            min=1,
            help="Train N networks with the found kernels, from different weights. The model is their mean.",
        ),
    ] = None
    tune: Annotated[
        Literal["none", "grid", "tpe", "asha"] | None,
        typer.Option(
            "--tune",
            help="Tune learning rate, dropout, weight decay and momentum of retraining: grid as in the DASH "
            "paper, Optuna's TPE, or asha as in DASHA, which tunes the initial weights as well.",
        ),
    ] = None
    devices: Annotated[
        str | None,
        typer.Option(
            "--devices",
            metavar="[auto|cpu|cuda][:][N]",
            help="The devices to train on. auto uses a GPU if it finds one; 2, cpu:2 or cuda:4 share every batch.",
        ),
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The seed of the split, the search and the training.")
    ] = None


class Latency(OptionGroup, panel="Latency"):
    """Whose latency counts, and how much."""

    latency_weight: Annotated[
        float | None,
        typer.Option(
            "--latency-weight",
            min=0,
            help="Prefer kernels that are fast when compiled. The weight of the latency in the loss, as a "
            "share of the "
            "latency of the backbone.",
        ),
    ] = None
    latency_budget: Annotated[
        str | None,
        typer.Option(
            "--latency-budget", help="The most time that all convolutions may take together, such as 2ms."
        ),
    ] = None
    target: Annotated[
        TargetName | None,
        typer.Option("--target", help="The engine whose latency counts. The default is ort-cpu."),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The GPU whose latency counts, such as l4, as in export. To choose where to train, use --devices.",
        ),
    ] = None

    def settings(self) -> dict[str, Any]:
        """The settings by name; None is not given.

        Raises:
            InputError: the budget is not a time.
        """
        budget = self.latency_budget
        return {
            "latency_weight": self.latency_weight,
            "latency_budget": None
            if budget is None
            else 1e3 * duration("--latency-budget", budget, example="2ms"),
            "latency_target": self.target,
            "latency_device": self.device,
        }

    def refuse_useless(self) -> None:
        """Refuse what says whose latency counts, for a search in which none does.

        Raises:
            InputError: one of these options is given.
        """
        for option, value in {"--target": self.target, "--device": self.device}.items():
            if value is not None:
                raise InputError(
                    f"{option} {value} chooses whose latency counts, but the search does not count latency; "
                    "add --latency-weight or "
                    "--latency-budget"
                    + ("; to choose where to train, use --devices" if option == "--device" else "")
                )


class Settings(OptionGroup, panel="Settings"):
    """Where the settings come from that have no option."""

    preset: Annotated[
        Preset | None,
        typer.Option(
            "--preset",
            help="quick takes minutes on a CPU for series, and longer for images. paper has the settings of the DASH "
            "paper, for a GPU.",
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE.json", help="A file of settings by name, or the config.json of a run."
        ),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as momentum=0.95. docs/search.md lists them. You can repeat it.",
        ),
    ] = None


class RunFolder(OptionGroup, panel="Run"):
    """Where the run goes, and when it ends."""

    out: Annotated[
        Path, typer.Option("--out", help="The folder to write. It appears complete or not at all.")
    ]
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time-limit",
            help="End within this time with a usable result, such as 5m or 2h. Without it, a run of the preset "
            "quick is planned for 15 minutes on this machine.",
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run in --out, with the same settings.")
    ] = False
    join: Annotated[
        bool,
        typer.Option(
            "--join",
            help="Help with the tuning of an unfinished run in --out that another process started, then end.",
        ),
    ] = False

    def max_seconds(self) -> float | None:
        """The longest time in seconds; None sets no bound.

        Raises:
            InputError: it is not a time.
        """
        return None if self.time_limit is None else duration("--time-limit", self.time_limit, example="30m")
