"""The ``search`` command."""

from __future__ import annotations

import time

from dashdeploy.cli.options.data import DataHandling, TaskSource
from dashdeploy.cli.options.groups import with_option_groups
from dashdeploy.cli.options.output import Output
from dashdeploy.cli.options.search import Latency, RunFolder, SearchSpace, Settings, Training
from dashdeploy.progress import silent, to_stderr


@with_option_groups
def search(
    run: RunFolder,
    source: TaskSource,
    handling: DataHandling,
    space: SearchSpace,
    training: Training,
    latency: Latency,
    given: Settings,
    output: Output,
) -> None:
    """Find the kernels that fit a task, and train the network that has them.

    DASH chooses one kernel size and one dilation for every convolution of the backbone. The original backbone is
    trained with the same budget, for comparison. Each source of settings overrides the ones before it: the preset,
    the built-in task, --config, --set, the other options.

    \b
    Example:
      dashdeploy search --task mnist1d --preset quick --out runs/mnist1d
      dashdeploy search --data signals.npz --kernel-sizes 3,7,11 --dilations 1,3,7 --out runs/signals
      dashdeploy search --data signals.npz --ensemble 5 --time-limit 1h --out runs/five
      dashdeploy search --data signals.npz --backbone mine:unet --set momentum=0.95 --out runs/unet
      dashdeploy search --task mnist1d --latency-weight 0.5 --target ort-cpu --time-limit 30m --out runs/quick
    """
    started, console = time.perf_counter(), output.console()
    source.check()
    options = {**space.settings(), **training.values(), **latency.settings()}
    max_seconds = run.max_seconds()

    from dashdeploy.inspect.inspection import inspect_run
    from dashdeploy.search.config.sources import combined_settings

    sources = given.preset, given.config, given.assignments or [], options
    # A wrong setting is told before the data is read.
    settings = combined_settings(*sources)
    task = source.load(handling, seed=settings.seed)
    settings = combined_settings(*sources, task.settings)
    if not (settings.latency_weight or settings.latency_budget):
        latency.refuse_useless()

    # Only now: Lightning takes seconds to import, which whoever mistyped something should not wait for.
    from dashdeploy.search import pipeline
    from dashdeploy.search.distributed.ranks import devices_of, rank
    from dashdeploy.search.staging.directory import staging_path
    from dashdeploy.search.supernet.networks import backbone_name, takes_width

    progress = silent if output.quiet else to_stderr
    if run.join:
        count = pipeline.join(task, settings, run.out, progress=progress)
        console.result(f"{count} trials were run here", {"trials": count})
        return
    is_first = not rank(devices_of(settings))  # it alone reports
    if space.width is not None and is_first and not takes_width(backbone_name(task, settings)):
        console.progress(
            f"--width {space.width} has no effect: the backbone {backbone_name(task, settings)} has no such "
            "parameter; docs/search.md says what it has for --set backbone_arguments"
        )
    try:
        found = pipeline.search(
            task,
            settings,
            run.out,
            resume=run.resume,
            progress=progress,
            max_seconds=max_seconds,
            started=started,
        )
    except KeyboardInterrupt:
        unfinished = staging_path(run.out)
        if is_first and unfinished.exists():
            console.progress(f"{unfinished} holds what was done; the same command with --resume goes on")
        raise
    if is_first:
        inspected = inspect_run(found)
        console.result(inspected.text, inspected.data)
        console.progress(f"next: dashdeploy export {run.out} --out BUNDLE")
