"""The search in one call: `dashdeploy.search`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from dashdeploy.backbones.run import Run
from dashdeploy.data.catalog import TASKS, load_task
from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.progress import Progress, to_stderr
from dashdeploy.references import PROGRAM
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.config.sources import combined_settings
from dashdeploy.search.distributed.ranks import devices_of, rank
from dashdeploy.search.pipeline import search as run_search

Data = Any
"""A `Task`, a name or path, arrays by name, or a data frame."""
Backbone = str | Callable[..., nn.Module]
FILES = (".npz", ".npy", ".ts", ".csv", ".tsv", ".txt", ".parquet", ".arff")
"""What a name ends with that means a file, also where there is none."""


def search(
    data: Data,
    backbone: Backbone = "auto",
    *,
    out: str | Path,
    preset: str = "quick",
    resume: bool = False,
    progress: Progress = to_stderr,
    max_seconds: float | None = None,
    data_options: DataOptions | None = None,
    **settings: object,
) -> Run:
    """Search the kernels that fit `data`, and train the result; ``dashdeploy.search(...)`` is this function.

    DASH chooses one kernel size and one dilation for every convolution of the backbone. The network with these
    kernels and the original backbone are then trained with the same budget.

    Args:
        data: the name of a built-in task or ``module:factory``; a file or folder, arrays or tensors by name, or a
            data frame, as `dashdeploy.load_data` takes them; or a `Task`, as ``dashdeploy.task_from(X, y)`` makes it.
        backbone: the name of a built-in backbone, ``module:factory``, or the factory itself: a function or class in a
            module that makes an ``nn.Module``. It gets those of in_channels, outputs, width, dense, dropout and
            input_shape that it has parameters for.
        out: the run directory. It appears complete or not at all; an unfinished run is ``OUT.partial``.
        preset: ``quick``, minutes on a CPU, or ``paper``, the settings of the DASH paper.
        resume: whether to continue an unfinished run of the same data and settings; a finished run is returned.
        progress: a function that gets a line for each step. `dashdeploy.progress.to_stderr` prints the lines on
            stderr, on a terminal as a bar; `dashdeploy.progress.silent` prints nothing.
        max_seconds: the time that the call may take, in seconds, roughly; None sets no limit.
        data_options: what is predicted, the loss, the metric, the scaling, for your own data:
            ``dashdeploy.DataOptions(predict="regression", normalize="channels")``.
        settings: fields of `dashdeploy.SearchSettings`, such as ``kernel_sizes=(3, 7)`` or ``seed=1``.

    Returns:
        The finished run; ``run.searched_model()`` is the network, and ``run.ensemble_model()`` the mean of all
        members of an ensemble.

    Raises:
        InputError: a file, a name or a value is wrong; `out` exists or cannot be written; an unfinished run exists
            or was started with other settings; or the training diverged.
        MissingCapabilityError: a device, a target or a package is missing on this machine.
        KeyboardInterrupt: the user interrupted the search; ``resume=True`` continues it.

    Example:
        Arrays and your own network, searched and used::

            run = dashdeploy.search(
                {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test},
                MyNetwork,
                out="run",
                kernel_sizes=(3, 7, 11),
                dilations=(1, 3),
            )
            print(run.metrics["searched"]["test"])
            outputs = run.searched_model()(inputs)
    """
    started = time.perf_counter()
    named: dict[str, object] = {"backbone": reference_of(backbone), **settings}
    seed = SearchSettings.preset(preset, **named).seed
    task = data if isinstance(data, Task) else _load(data, seed, data_options)
    chosen = combined_settings(preset, None, [], named, task.settings)
    if chosen.backbone.startswith(f"{PROGRAM}:") and not rank(devices_of(chosen)):
        progress(
            f"the backbone {chosen.backbone} is a part of this program, which alone can export the run; to export it "
            "from elsewhere, move the network to a module and import it"
        )
    return run_search(
        task, chosen, Path(out), resume=resume, progress=progress, max_seconds=max_seconds, started=started
    )


def _load(data: Data, seed: int, options: DataOptions | None) -> Task:
    # A run of a built-in task may well lie in a folder of that name.
    if isinstance(data, str) and (data in TASKS or not (Path(data).exists() or data.endswith(FILES))):
        return load_task(data, seed=seed, options=options)
    return load_data(data, seed=seed, options=options)


def reference_of(backbone: Backbone) -> str:
    """The name under which a run can build the backbone again.

    Raises:
        InputError: it is not a function or class of a module, so that another process could not find it.
    """
    if isinstance(backbone, str):
        return backbone
    module, name = getattr(backbone, "__module__", None), getattr(backbone, "__qualname__", "")
    found: Any = getattr(sys.modules.get(module or ""), name, None)
    if found is not backbone:
        raise InputError(
            f"backbone = {backbone!r}: a run must find it again, so it has to be a function or class with a name in "
            "a module; move it there"
        )
    return f"{module}:{name}"
