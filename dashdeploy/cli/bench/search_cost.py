"""The command ``bench search-cost``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dashdeploy.cli.bench.options import ResultOutput
from dashdeploy.cli.options.groups import OptionGroup, with_option_groups
from dashdeploy.cli.options.values import positive_integers
from dashdeploy.errors import InputError

if TYPE_CHECKING:
    from dashdeploy.bench.search_cost.problem import Problem


class Points(OptionGroup, panel="Points and methods"):
    """What is timed."""

    methods: Annotated[
        str | None,
        typer.Option(
            "--methods", help="The methods to compare, such as auto,mixed-results. The default is all."
        ),
    ] = None
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=2, help="Only series (1) or only images (2).")
    ] = None
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", help="Only these sizes c of the search space, such as 1,2,3."),
    ] = None
    lengths: Annotated[
        str | None, typer.Option("--lengths", help="Only these lengths of the series, such as 250,1000.")
    ] = None
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure fewer points and rounds: a minute instead of ten.")
    ] = False

    def problems(self) -> list[Problem]:
        """The points that are meant.

        Raises:
            InputError: a list is none, or the options contradict each other.
        """
        from dashdeploy.bench.search_cost.measure import paper_problems, series_problems

        if self.sizes is None and self.lengths is None:
            return paper_problems(quick=self.quick, rank=self.rank)
        chosen = series_problems(
            sizes=_integers("--sizes", self.sizes, noun="size"),
            lengths=_integers("--lengths", self.lengths, noun="length"),
        )
        if self.rank is not None:
            raise InputError(
                "--rank cannot be combined with --sizes and --lengths, which are for series; omit it"
            )
        return chosen


class Timing(OptionGroup, panel="Measurement"):
    """How it is timed."""

    device: Annotated[
        Literal["cpu", "cuda"],
        typer.Option(
            "--device", help="The device for the steps. cuda is the first GPU, in fp32 without TF32."
        ),
    ] = "cpu"
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, help="The number of threads of torch. The default is the number of cores."
        ),
    ] = None
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0.01,
            max=86400,
            help="Seconds for each point, for all methods together. The default is 4, and 1 with --quick.",
        ),
    ] = None
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            min=1,
            help="The least number of rounds for each point. The default is 3, and 2 with --quick.",
        ),
    ] = None
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Also measure the peak memory.")] = True


@with_option_groups
def search_cost(
    points: Points,
    timing: Timing,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the figure to FILE: .png, .svg or .pdf."),
    ] = None,
    *,
    output: ResultOutput,
) -> None:
    """Time a training step of the search, by the way AggConv is computed.

    The points are those of Figure 1 of the DASH paper (the size c of the search space from 1 to 7, and the length of
    the series), and a search space of images. The methods take turns in one process. Peak memory is measured in
    one process for each method.

    \b
    Example:
      dashdeploy bench search-cost --quick
      dashdeploy bench search-cost --plot search-cost.svg --json search-cost.json
      dashdeploy bench search-cost --device cuda --rank 1
    """
    console = output.console()

    from dashdeploy.bench.search_cost.measure import measure_search_cost
    from dashdeploy.bench.search_cost.plot import check_plot_path, plot_search_cost
    from dashdeploy.ops.aggconv.methods import METHODS

    if plot is not None:
        check_plot_path(plot)
    methods = points.methods
    measured = measure_search_cost(
        points.problems(),
        methods=METHODS if methods is None else [word.strip() for word in methods.split(",")],
        device=timing.device,
        threads=timing.threads,
        seconds=timing.seconds or (1.0 if points.quick else 4.0),
        min_rounds=timing.rounds or (2 if points.quick else 3),
        memory=timing.memory,
        progress=console.progress,
    )
    if plot is not None:
        plot_search_cost(measured, plot)
        console.progress(f"wrote {plot}")
    output.finish(console, measured)


def _integers(option: str, text: str | None, *, noun: str) -> list[int]:
    return [] if text is None else positive_integers(option, text, noun=noun)
