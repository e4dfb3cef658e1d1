"""NAS-Bench-360: tasks read from the benchmark's own files in ``--data-dir``, with its splits, losses and metrics.

R. Tu, N. Roberts, M. Khodak, J. Shen, F. Sala, A. Talwalkar, "NAS-Bench-360: Benchmarking neural architecture search
on diverse tasks" (arXiv 2110.05668). The benchmark reports errors, 1 - accuracy and so on; here are the metrics
themselves. What the benchmark does to training data at random (crops, flips, noise, skies) is left out. Darcy flow
is in `dashdeploy.data.datasets.darcy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from dashdeploy.data.nasbench360.audio import load_fsd50k
from dashdeploy.data.nasbench360.cosmic import load_cosmic, load_cosmic_auroc
from dashdeploy.data.nasbench360.images import load_cifar100, load_ninapro, load_spherical
from dashdeploy.data.nasbench360.protein import load_psicov
from dashdeploy.data.nasbench360.series import load_deepsea, load_ecg, load_satellite
from dashdeploy.data.task import Task

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
"""What each task is, and what loads it from the folder with its files."""
