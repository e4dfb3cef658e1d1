"""The command ``bench search-cost``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.result import ReportFile, finish
from dashdeploy.cli.console import Console
from dashdeploy.cli.options.common import Quiet, Verbose
from dashdeploy.cli.options.json_file import JsonFile
from dashdeploy.errors import InputError


def search_cost(
    methods: Annotated[
        str | None,
        typer.Option("--methods", help="The methods to compare, such as auto,mixed-results; otherwise all."),
    ] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, max=2, help="Only series (1) or only images (2).")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option("--sizes", help="Only these sizes c of the search space, such as 1,2,3."),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option("--lengths", help="Only these lengths of the series, such as 250,1000.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Torch's threads; otherwise as many as cores.")
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", min=0.01, max=86400, help="How long to time each point, all methods together."
        ),
    ] = 4.0,
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="The fewest rounds of each point, however long they take.")
    ] = 3,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Whether to measure the peak memory as well.")
    ] = True,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points and rounds; a minute instead of ten.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the figure into FILE: .png, .svg or .pdf."),
    ] = None,
    json_file: JsonFile = None,
    report_file: ReportFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time a training step of the search, by the way AggConv is computed.

    Figure 1 of the DASH paper: the size c of the search space from 1 to 7, and the length of the series; and a
    search space of images. The methods take turns in one process; each has a process of its own for its memory.

    \b
    Example:
      dashdeploy bench search-cost --quick
      dashdeploy bench search-cost --plot search-cost.svg --json search-cost.json
    """
    console = Console(quiet=quiet, verbose=verbose)

    from dashdeploy.bench.search_cost.measure import measure_search_cost, paper_problems, problems_of
    from dashdeploy.bench.search_cost.plot import check_plot_path, plot_search_cost
    from dashdeploy.cli.options.values import positive_integers
    from dashdeploy.ops.aggconv.methods import METHODS

    if plot is not None:
        check_plot_path(plot)
    chosen = [
        problem
        for line, option, values in (("c", "--sizes", sizes), ("n", "--lengths", lengths))
        if values is not None
        for problem in problems_of(
            line, positive_integers(option, values, noun={"c": "size", "n": "length"}[line])
        )
    ]
    if chosen and rank is not None:
        raise InputError("--rank does not go with --sizes and --lengths, which are of series; leave it out")
    measured = measure_search_cost(
        chosen or paper_problems(quick=quick, rank=rank),
        methods=METHODS if methods is None else [word.strip() for word in methods.split(",")],
        threads=threads,
        seconds=min(seconds, 1.0) if quick else seconds,
        min_rounds=min(rounds, 2) if quick else rounds,
        memory=memory,
        progress=console.progress,
    )
    if plot is not None:
        plot_search_cost(measured, plot)
        console.progress(f"wrote {plot}")
    finish(console, measured, json_file, report_file)
