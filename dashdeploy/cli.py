"""The command line: parses, calls the library, prints.

Heavy packages are imported by the command that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dashdeploy.cli_bench import bench_app
from dashdeploy.cli_export import export
from dashdeploy.cli_serve import serve
from dashdeploy.command_errors import ErrorReportingGroup
from dashdeploy.command_options import Json, Quiet, Verbose
from dashdeploy.console import Console, table
from dashdeploy.errors import InputError
from dashdeploy.option_values import positive_integers

app = typer.Typer(
    name="dashdeploy",
    cls=ErrorReportingGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(bench_app, name="bench")
app.command()(serve)

Out = Annotated[Path, typer.Option("--out", help="The folder to write; it appears whole or not at all.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from dashdeploy import __version__

        print(f"dashdeploy {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Search the kernels that fit a task, compile them into a fast exact model, measure it, serve it.

    \b
    dashdeploy search --task mnist1d --out run
    dashdeploy export run --out bundle
    dashdeploy bench latency bundle
    dashdeploy serve bundle
    """


@app.command()
def search(
    out: Out,
    task: Annotated[
        str | None, typer.Option("--task", help="A built-in task; dashdeploy tasks lists them.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Your own data: an .npz file with x_train, y_train, x_test, y_test."),
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            help="The network whose kernels are searched: resnet1d, tcn, wide_resnet, convnext, or "
            "module:factory for your own; auto takes resnet1d for series and wide_resnet for images.",
        ),
    ] = "auto",
    kernel_sizes: Annotated[
        str | None, typer.Option("--kernel-sizes", help="The kernel sizes to choose from, such as 3,5,7,9.")
    ] = None,
    dilations: Annotated[
        str | None, typer.Option("--dilations", help="The dilations to choose from, such as 1,3,7,15.")
    ] = None,
    preset: Annotated[
        Literal["quick", "paper"],
        typer.Option("--preset", help="quick: minutes on a CPU. paper: the settings of the DASH paper."),
    ] = "quick",
    width: Annotated[
        int | None, typer.Option("--width", min=1, help="Channels of the backbone's first block.")
    ] = None,
    search_epochs: Annotated[
        int | None, typer.Option("--search-epochs", min=1, help="Passes over the data while searching.")
    ] = None,
    retrain_epochs: Annotated[
        int | None,
        typer.Option("--retrain-epochs", min=1, help="Passes over the data while training what was found."),
    ] = None,
    devices: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--devices", help="auto takes a GPU if there is one.")
    ] = "auto",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the split, the search and the training.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same settings in --out.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Find the kernels that fit a task, and train the result.

    For every convolution of the backbone, one kernel size and one dilation are chosen (DASH). The backbone
    as it was is trained with the same budget, for comparison.

    \b
    Example:
      dashdeploy search --task mnist1d --preset quick --out runs/mnist1d
      dashdeploy search --data signals.npz --kernel-sizes 3,7,11 --dilations 1,3,7 --out runs/signals
    """
    console = Console(as_json=as_json, quiet=quiet, verbose=verbose)
    if (task is None) == (data is None):
        raise InputError(
            "give exactly one of --task NAME and --data FILE.npz; dashdeploy tasks lists the names"
        )
    overrides: dict[str, object] = {"backbone": backbone, "devices": devices, "seed": seed}
    sizes = {"width": width, "search_epochs": search_epochs, "retrain_epochs": retrain_epochs}
    overrides |= {name: value for name, value in sizes.items() if value is not None}
    if kernel_sizes is not None:
        overrides["kernel_sizes"] = positive_integers("--kernel-sizes", kernel_sizes, noun="kernel size")
    if dilations is not None:
        overrides["dilations"] = positive_integers("--dilations", dilations, noun="dilation")

    from dashdeploy.inspection import inspect_run
    from dashdeploy.search.settings import SearchSettings
    from dashdeploy.tasks import load_npz, load_task

    settings = SearchSettings.preset(preset, **overrides)
    loaded = load_npz(data, seed=seed) if data is not None else load_task(str(task), seed=seed)

    # Only now: Lightning takes seconds to import, which whoever mistyped something should not wait for.
    from dashdeploy.search import pipeline

    run = pipeline.search(loaded, settings, out, resume=resume, progress=not quiet)
    found = inspect_run(run)
    console.result(found.text, found.data)
    console.progress(f"next: dashdeploy export {out} --out BUNDLE")


app.command()(export)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="What search or export wrote.")],
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what is in a run or a bundle, layer by layer.

    \b
    Example:
      dashdeploy inspect runs/mnist1d
      dashdeploy inspect bundles/mnist1d --json
    """
    from dashdeploy.inspection import inspect as look

    found = look(path)
    Console(as_json=as_json, quiet=quiet, verbose=verbose).result(found.text, found.data)


@app.command()
def doctor(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Show versions, devices and engines.

    For each engine that is missing, the command that installs it.

    \b
    Example:
      dashdeploy doctor
    """
    from dashdeploy.doctor import examine

    report = examine()
    Console(as_json=as_json, quiet=quiet, verbose=verbose).result(
        report.text(), report.model_dump(mode="json")
    )


@app.command()
def tasks(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List the built-in tasks.

    \b
    Example:
      dashdeploy tasks
    """
    from dashdeploy.tasks import TASKS

    text = table(["task", "what it is"], [[name, what] for name, what in TASKS.items()])
    Console(as_json=as_json, quiet=quiet, verbose=verbose).result(text, dict(TASKS))


def main() -> None:
    """The entry point of the ``dashdeploy`` command."""
    app()
