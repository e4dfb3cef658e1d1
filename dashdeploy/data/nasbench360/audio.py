"""FSD50K: which of 200 sounds are in a clip.

Fonseca et al., arXiv 2010.00475, cut into chunks of one second as NAS-Bench-360 has them (its ``audio.zip``). The
benchmark's epoch draws one chunk of every clip, mixes noise into it and masks parts of it; here an epoch has
all chunks as they are, and the paper preset has as many fewer epochs. Clips are judged by the mean of their chunks.
"""

from __future__ import annotations

import csv
import json
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dashdeploy.data.checks import refuse
from dashdeploy.data.from_arrays import make_task
from dashdeploy.data.lazy_inputs import lazy
from dashdeploy.data.losses import binary_cross_entropy
from dashdeploy.data.nasbench360.files import needed
from dashdeploy.data.nasbench360.log_mel import FRAMES, MELS, RATE, log_mel
from dashdeploy.data.task import Metric, Split, Task

if TYPE_CHECKING:
    import torchmetrics

POSITIVE_WEIGHT = 10.0
COLUMNS = ("files", "labels", "ext")
PAPER_EPOCHS, PAPER_SHARE = 200, 0.2


@dataclass(frozen=True)
class _Manifest:
    """The chunks of one split: their files, their labels, and the clip that each comes from."""

    path: Path
    files: list[Path]
    labels: list[list[str]]
    clips: list[str]


def load_fsd50k(folder: Path) -> Task:
    """``chunks/{tr,val,eval}.csv``, ``chunks/lbl_map.json`` and the ``.wav`` files they name, by mAP over clips."""
    place = next(
        (each for each in (folder, folder / "data", folder / "audio") if (each / "chunks").is_dir()), folder
    )
    labels = _label_map(needed(place, "chunks", "lbl_map.json"))
    manifests = [_manifest(needed(place, "chunks", f"{name}.csv"), place) for name in ("tr", "val", "eval")]
    clips = sorted({(number, clip) for number, each in enumerate(manifests) for clip in each.clips})
    train, validation, test = (
        _split(each, labels, {clip: at for at, (owner, clip) in enumerate(clips) if owner == number})
        for number, each in enumerate(manifests)
    )
    per_clip = len(train.targets) / len(torch.unique(train.targets[:, -1]))
    task = make_task(
        "fsd50k",
        "multi-label",
        len(labels),
        train,
        validation,
        test,
        labels=tuple(sorted(labels, key=lambda label: labels[label])),
        source={"nas-bench-360": str(folder.resolve())},
        settings={
            # DASH's settings of this task (its task_configs).
            "paper": {
                "batch_size": 128,
                "search_share": min(1.0, PAPER_SHARE / per_clip),
                "retrain_epochs": max(1, round(PAPER_EPOCHS / per_clip)),
                "backbone_arguments": {"widen": 1},
                "retrain_arguments": {"widen": 4},
            }
        },
    )
    return replace(task, loss=loss_of_chunks, metric=Metric("map", _map_over_clips, higher_is_better=True))


def loss_of_chunks(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy; the last column of the targets is the clip's number."""
    return binary_cross_entropy(logits, targets[:, :-1], positive_weight=POSITIVE_WEIGHT)


def _map_over_clips() -> torchmetrics.Metric:
    from dashdeploy.data.nasbench360.benchmark_metrics import ClipMAP

    return ClipMAP()


def _label_map(path: Path) -> dict[str, int]:
    try:
        content: Any = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        refuse(path, f"cannot be read as JSON ({error})", "download the file again")
    good = isinstance(content, Mapping) and sorted(content.values(), key=str) == sorted(
        range(len(content)), key=str
    )
    if not good or not content:
        refuse(path, "it does not give every label a number from 0 up", "download the file again")
    return dict(content)


def _manifest(path: Path, folder: Path) -> _Manifest:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        refuse(path, f"cannot be read ({error})", "download the file again")
    if not rows or any(rows[0].get(column) is None for column in COLUMNS):
        refuse(path, f"it has no rows with the columns {', '.join(COLUMNS)}", "download the file again")
    files = _located(path, [row["files"] for row in rows], folder)
    return _Manifest(path, files, [row["labels"].split(",") for row in rows], [row["ext"] for row in rows])


def _located(path: Path, names: Sequence[str], folder: Path) -> list[Path]:
    """Where the chunks lie: the names start with the folder of whoever cut them, of which the end counts here."""
    parts = Path(names[0]).parts
    for skipped in range(len(parts)):
        if folder.joinpath(*parts[skipped:]).is_file():
            break
    else:
        refuse(path, f"{names[0]} is not in {folder}", "extract audio.zip there, whole")
    return [folder.joinpath(*Path(name).parts[skipped:]) for name in names]


def _split(manifest: _Manifest, labels: Mapping[str, int], numbers: Mapping[str, int]) -> Split:
    targets = torch.zeros(len(manifest.files), len(labels) + 1, dtype=torch.int64)
    for row, (names, clip) in enumerate(zip(manifest.labels, manifest.clips, strict=True)):
        for name in names:
            if name not in labels:
                refuse(
                    manifest.path,
                    f"row {row + 1} has the label {name!r}, not in lbl_map.json",
                    "download it again",
                )
            targets[row, labels[name]] = 1
        targets[row, -1] = numbers[clip]
    shape = (len(manifest.files), 1, MELS, FRAMES + 1)
    return Split(lazy(shape, partial(_chunk, manifest.files)), targets)


def _chunk(files: Sequence[Path], index: int) -> Tensor:
    """One chunk [1, 96, 102]: padded at both ends with its least value, and with a last column of zeros."""
    decibels = log_mel(read_wav(files[index]))
    missing = FRAMES - decibels.shape[1]
    if missing > 0:
        pad = (missing // 2, missing - missing // 2)
        decibels = F.pad(decibels, pad, value=float(decibels.min()))
    return F.pad(decibels[:, :FRAMES], (0, 1))[None]


def read_wav(path: Path) -> Tensor:
    """At least a second of sound from a ``.wav`` file of 16 bits and one channel; a shorter one is repeated.

    Raises:
        InputError: it cannot be read or is something else.
    """
    try:
        with wave.open(str(path), "rb") as file:
            kind = (file.getframerate(), file.getnchannels(), file.getsampwidth())
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        refuse(path, f"cannot be read as .wav ({error})", "extract audio.zip again")
    if kind != (RATE, 1, 2) or not content:
        refuse(
            path,
            f"it has {kind[0]} Hz, {kind[1]} channels of {8 * kind[2]} bits, {len(content)} bytes",
            f"the benchmark's chunks have {RATE} Hz, one channel of 16 bits",
        )
    sound = np.frombuffer(content, "<i2").astype(np.float32) / 2**15
    if len(sound) < RATE:
        sound = np.tile(sound, RATE // len(sound) + 1)[:RATE]
    return torch.from_numpy(sound)
