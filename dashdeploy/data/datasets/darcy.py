"""Darcy flow: from the permeability of a porous ground to the pressure of the fluid in it.

The task of NAS-Bench-360 and of Fourier neural operators, generated from its definition: 1000 fields to learn from,
the last 100 of them for validation, and 100 to test. The published data were solved on 421 x 421 nodes; these are
solved on 169 x 169 and every second node is kept, so figures are close to the published ones but not the same.
Inputs are the permeability and both coordinates, as in the benchmark. With a folder, the published fields are read.
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from dashdeploy.artifacts.atomic import sha256_of, write_bytes_atomically
from dashdeploy.data.datasets.darcy_files import read_published
from dashdeploy.data.datasets.darcy_solver import random_coefficients, solve
from dashdeploy.data.from_arrays import DataOptions, make_task
from dashdeploy.data.task import Split, Task
from dashdeploy.errors import InputError
from dashdeploy.machine import cache_folder

SIZE, FINER = 85, 2
TRAIN, VALIDATION, TEST = 900, 100, 100
SEED = 0
BATCH = 50
VERSION = 1  # of the cached file; count up when what is generated changes


def load_darcy(folder: Path | None = None) -> Task:
    """On 85 x 85 nodes; the fields are the same for every seed, as the published ones."""
    return _task("darcy", folder, every=1)


def load_darcy43(folder: Path | None = None) -> Task:
    """The same fields on 43 x 43 nodes."""
    return _task("darcy43", folder, every=2)


def _task(name: str, folder: Path | None, every: int) -> Task:
    if folder is None:
        path = cache_folder() / f"darcy-{SIZE}-v{VERSION}.npz"
        a, u = _read(path) or _generate(path)
        source = {"generated": f"version {VERSION}, seed {SEED}", "sha256": sha256_of(path)}
    else:
        a, u = read_published(folder, TRAIN + VALIDATION, TEST, SIZE)
        source = {"nas-bench-360": str(folder.resolve())}
    a, u = a[:, ::every, ::every], u[:, ::every, ::every]
    x, y = torch.meshgrid(*[torch.linspace(0, 1, a.shape[-1])] * 2, indexing="xy")
    inputs = torch.stack([a, x.expand_as(a), y.expand_as(a)], dim=1)
    borders = (0, TRAIN, TRAIN + VALIDATION, TRAIN + VALIDATION + TEST)
    train, validation, test = (
        Split(inputs[start:end], u[start:end, None]) for start, end in pairwise(borders)
    )
    return make_task(
        name,
        "regression",
        1,
        train,
        validation,
        test,
        DataOptions(loss="relative_l2", metric="relative_l2", normalize="channels"),
        dense=True,
        source=source,
        settings={
            "quick": {
                "batch_size": 10,
                # Without a stride, 9 x 9 taps for 64 channels take seven times as long as 3 x 3.
                "kernel_sizes": (3, 5),
                "backbone_arguments": {"widen": 1},
            },
            "paper": {
                "batch_size": 10,
                "learning_rate": 0.01,
                "search_learning_rate": 0.01,
                "alpha_learning_rate": 0.005,
                "backbone_arguments": {"widen": 1},
                "retrain_arguments": {"widen": 4},
            },  # as in DASH
        },
    )


def _read(path: Path) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The cached fields; None if there are none, or they are damaged: then they are generated again."""
    try:
        with np.load(path, allow_pickle=False) as file:
            a, u = torch.from_numpy(file["a"]), torch.from_numpy(file["u"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: {error.strerror}; make it readable, or remove it") from error
        return None
    except Exception:  # zipfile and zlib have errors of their own for a damaged file
        return None
    wanted = (TRAIN + VALIDATION + TEST, SIZE, SIZE)
    good = a.shape == u.shape == wanted and a.dtype == u.dtype == torch.float32 and bool(u.isfinite().all())
    return (a, u) if good else None


def _generate(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Solve all fields (one to three minutes, once) and keep them in the cache.

    Raises:
        InputError: the cache cannot be written.
    """
    count, fine = TRAIN + VALIDATION + TEST, FINER * (SIZE - 1) + 1
    coefficients = random_coefficients(count, fine, SEED)
    parts = [solve(part) for part in torch.split(coefficients, BATCH)]
    a = coefficients[:, ::FINER, ::FINER].float().contiguous()
    u = torch.cat(parts)[:, ::FINER, ::FINER].float().contiguous()
    content = io.BytesIO()
    np.savez_compressed(content, a=a.numpy(), u=u.numpy())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(path, content.getvalue())
    except OSError as error:
        raise InputError(
            f"{path.parent}: {error.strerror}; name a writable folder in DASHDEPLOY_CACHE"
        ) from error
    return a, u
