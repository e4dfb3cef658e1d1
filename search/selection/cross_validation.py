"""Other divisions of a task's data into training and validation, for small data sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch

from dashdeploy.data.task import Split, Task
from dashdeploy.errors import InputError
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.training.batches import joined


def check_folds(task: Task, settings: RunSettings) -> None:
    """Refuse folds that leave too little to hold out or to learn from: batch norm needs two samples.

    Raises:
        InputError: there would be.
    """
    count, folds = len(task.train.targets) + len(task.validation.targets), settings.shortlist_folds
    if folds == 1:
        return
    largest = -(-count // folds)
    if folds > count or count - largest < 2:
        raise InputError(
            f"shortlist_folds = {folds}: task {task.name} has {count} training samples, too few to hold one part of "
            f"them out and learn from the rest; use {'fewer folds' if folds > count else 'more data, or one fold'}"
        )


def folds_of(task: Task, count: int, seed: int) -> Iterator[Task]:
    """The task with `count` other divisions into training and validation data; 1 is its own division.

    Every class is divided evenly, and every sample is held out once.
    """
    if count == 1:
        yield task
        return
    whole = joined(task.train, task.validation)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(whole.targets), generator=generator)
    if task.kind == "classification" and whole.targets.dim() == 1:
        order = order[whole.targets[order].argsort(stable=True)]
    fold = torch.empty(len(order), dtype=torch.long)
    fold[order] = torch.arange(len(order)) % count
    for each in range(count):
        held = fold == each
        yield dataclasses.replace(
            task,
            train=Split(whole.inputs[~held], whole.targets[~held]),
            validation=Split(whole.inputs[held], whole.targets[held]),
        )
