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
            help="Channels of the backbone's first block, of resnet1d, unet1d or a network of your own with a width.",
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
            help="Convolutions to leave alone, by name, with * and ?; may be repeated.",
        ),
    ] = None
    separable: Annotated[
        bool | None,
        typer.Option(
            "--separable/--dense", help="Whether layers with equal channels are searched depthwise."
        ),
    ] = None
    method: Annotated[
        Method | None,
        typer.Option("--method", help="How the mixture is computed; auto takes the cheapest per layer."),
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
        int | None, typer.Option("--search-epochs", min=1, help="Passes over the data while searching.")
    ] = None
    retrain_epochs: Annotated[
        int | None,
        typer.Option("--retrain-epochs", min=1, help="Passes over the data while training what was found."),
    ] = None
    ensemble: Annotated[
        int | None,
        typer.Option(
            "--ensemble",
            metavar="N",
            min=1,
            help="Train N networks with what was found, from other weights; their mean is the model.",
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
            help="auto takes a GPU if there is one; 2, cpu:2 or cuda:4 share every batch among so many.",
        ),
    ] = None
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the split, the search and the training.")
    ] = None


class Latency(OptionGroup, panel="Latency"):
    """Whose latency counts, and how much."""

    latency_weight: Annotated[
        float | None,
        typer.Option(
            "--latency-weight",
            min=0,
            help="Prefer kernels that are quick once compiled: what the backbone's own latency adds to the loss.",
        ),
    ] = None
    latency_budget: Annotated[
        str | None,
        typer.Option("--latency-budget", help="How long all convolutions may take, such as 2ms."),
    ] = None
    target: Annotated[
        TargetName | None,
        typer.Option("--target", help="The engine whose latency counts; otherwise ort-cpu."),
    ] = None
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The GPU whose latency counts, such as l4; as in export. Where to train is said by --devices.",
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
                    f"{option} {value} says whose latency counts, and none does; add --latency-weight or "
                    "--latency-budget"
                    + ("; where to train is said by --devices" if option == "--device" else "")
                )


class Settings(OptionGroup, panel="Settings"):
    """Where the settings come from that have no option."""

    preset: Annotated[
        Preset | None,
        typer.Option(
            "--preset",
            help="quick: minutes on a CPU for series, longer for images. paper: the settings of the DASH paper, for "
            "a GPU.",
        ),
    ] = None
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.json", help="Settings by name, or a run's config.json."),
    ] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as momentum=0.95 (docs/search.md lists them); may be repeated.",
        ),
    ] = None


class RunFolder(OptionGroup, panel="Run"):
    """Where the run goes, and when it ends."""

    out: Annotated[Path, typer.Option("--out", help="The folder to write; it appears whole or not at all.")]
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time-limit",
            help="End within this time with a usable result, such as 5m or 2h. Without it, a run of the preset "
            "quick is planned for 15 minutes on this machine.",
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings in --out.")
    ] = False
    join: Annotated[
        bool,
        typer.Option(
            "--join", help="Help another process's unfinished run in --out with its tuning, then end."
        ),
    ] = False

    def max_seconds(self) -> float | None:
        """The longest time in seconds; None sets no bound.

        Raises:
            InputError: it is not a time.
        """
        return None if self.time_limit is None else duration("--time-limit", self.time_limit, example="30m")
