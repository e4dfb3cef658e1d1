"""The command ``bench accuracy``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dashdeploy.cli.bench.options import ResultOutput
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.search import Preset
from dashdeploy.errors import InputError


@with_option_groups
def accuracy(
    out: Annotated[
        Path, typer.Option("--out", help="The folder for the runs. Finished runs in it are kept.")
    ],
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            help="The built-in tasks to search. dashdeploy tasks lists them. The default is mnist1d, or none with "
            "--data.",
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            help="A file or folder of your own to search, as in search. You can repeat it.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="The number of seeds, from 0 up.")] = 5,
    preset: Annotated[Preset, typer.Option("--preset", help="The settings of every search.")] = "quick",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting of every search, as in search. You can repeat it."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, help="The number of simultaneous searches. The default is one for each core."
        ),
    ] = None,
    *,
    output: ResultOutput,
) -> None:
    """Search tasks, or data of your own, with several seeds, DASH beside its backbone.

    Each task and seed is one search. It trains both networks for the same number of passes and uses the test data
    once. To give the backbone the time of the search as well, use --set backbone_epochs=N. Run the same command again
    to continue after an interruption.

    \b
    Example:
      dashdeploy bench accuracy --tasks mnist1d --seeds 3 --out accuracy
      dashdeploy bench accuracy --tasks mnist1d --seeds 3 --set backbone_epochs=70 --out accuracy-whole-budget
      dashdeploy bench accuracy --data ecg.npz --data leaves_TRAIN.ts --seeds 3 --out own
      dashdeploy bench accuracy --tasks mnist1d,osuleaf --set retrain_epochs=60 --out accuracy --json accuracy.json
    """
    console = output.console()

    from dashdeploy.bench.accuracy.measure import Plan, measure_accuracy

    if tasks is None:
        tasks = "" if data else "mnist1d"
    plan = Plan(
        tasks=[word.strip() for word in tasks.split(",") if word.strip()],
        data=data or (),
        seeds=range(seeds),
        out=out,
        preset=preset,
        settings=settings or (),
        jobs=jobs,
    )
    measured = measure_accuracy(plan, progress=console.progress)
    output.finish(console, measured)
    if measured.failures:
        first = measured.failures[0]
        raise InputError(
            f"{len(measured.failures)} run(s) failed, the first: {first.task}, seed {first.seed}: {first.reason}"
        )
