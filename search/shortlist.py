"""Short trainings decide between what the search found and what the backbone had.

The architecture parameters of a short search are often close to undecided, and then the largest of them says little.
So a short list is trained, each candidate with the same seed and budget, and the one with the best validation figure
is retrained: all of what was found; the kernel that all layers together favour; what was found in the layers that
decided most, with the original kernels in the others; and the original kernels alone. Small data sets are judged by
cross-validation over all training data.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import lightning as L
import torch
from torch import nn

from dashdeploy.backbones import build_backbone, build_searched
from dashdeploy.errors import InputError
from dashdeploy.run_directory import SHORTLIST_NAME, Architecture, LayerArchitecture
from dashdeploy.search.batches import joined
from dashdeploy.search.checkpoint import FOLDER_NAME
from dashdeploy.search.partial_run import finish_phase, phase_result, write_json
from dashdeploy.search.phase_training import trainer_of
from dashdeploy.search.quiet import quiet_lightning
from dashdeploy.search.settings import SearchSettings
from dashdeploy.search.training import DivergedError, Phase, PhaseModule, PhaseName, entropy
from dashdeploy.tasks import Split, Task

PHASE: PhaseName = "shortlist"
ARCHITECTURE = "architecture"
SCORES_NAME = "shortlist.scores.json"


def choose_from_shortlist(
    task: Task,
    settings: SearchSettings,
    found: Architecture,
    folder: Path,
    *,
    seconds: float | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Architecture:
    """Train the short list and give the best of it, or what an interrupted call had chosen already.

    Args:
        task: the data; the test split is not looked at.
        settings: how many candidates, passes and folds.
        found: what the search found; it is first on the list.
        folder: the unfinished run; ``shortlist.json`` is written there.
        seconds: how long it may take; the candidates that are done by then decide.
        say: told of every candidate.
    """
    chosen_before = chosen_architecture(folder)
    if chosen_before is not None:
        return chosen_before
    candidates = shortlist(found, settings.shortlist)
    started = time.perf_counter()
    path = folder / FOLDER_NAME / SCORES_NAME
    known: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    folds = list(folds_of(task, settings.shortlist_folds, settings.seed))
    for index, candidate in enumerate(candidates):
        for fold, part in enumerate(folds):
            key = f"{index}.{fold}"
            late = seconds is not None and time.perf_counter() - started >= seconds
            if key in known or (late and f"0.{len(folds) - 1}" in known):
                continue
            known[key] = _score(part, settings, candidate, folder)
            write_json(path, known)
        scores = _of_candidate(known, index, len(folds))
        if scores:
            say(f"short list, candidate {index + 1}: {_words(scores, task, settings)}")
    rows = [
        _row(each, index, _of_candidate(known, index, len(folds))) for index, each in enumerate(candidates)
    ]
    chosen = _best(rows, task, settings)
    write_json(
        folder / SHORTLIST_NAME,
        {"metric": task.metric.name, "folds": len(folds), "chosen": chosen, "candidates": rows},
    )
    spent = sum(score["seconds"] for score in known.values())
    # architecture.json is still what was found, so that a list that is interrupted starts from the same.
    result = {"chosen": chosen, "seconds": spent, ARCHITECTURE: candidates[chosen].model_dump()}
    finish_phase(folder, PHASE, result)
    return candidates[chosen]


def chosen_architecture(folder: Path) -> Architecture | None:
    """What the short list of the unfinished run in `folder` chose; None if that is not over, or there is none."""
    result = phase_result(folder, PHASE)
    return None if result is None else Architecture.model_validate(result[ARCHITECTURE])


def shortlist(found: Architecture, count: int) -> list[Architecture]:
    """The candidates, what was found first and the backbone's own kernels last.

    Between them: the one kernel and dilation that all layers together favour, for every layer, since the mean over
    layers is surer than any of them; then what was found in ever fewer layers, those with the least entropy of alpha.

    Args:
        found: what the search found.
        count: candidates; those that are the same are listed once.
    """
    layers, original = found.layers, original_layers(found)
    by_entropy = sorted(range(len(layers)), key=lambda i: entropy(torch.tensor(layers[i].alpha).flatten()))
    steps = max(1, count - 1 if count < 3 else count - 2)  # the favourite is no step
    mixtures = []
    for step in range(min(count, steps + 1)):
        taken = by_entropy[: round(len(layers) * (1 - step / steps))]
        mixtures.append([layer if i in taken else original[i] for i, layer in enumerate(layers)])
    if count > 2:
        mixtures.insert(1, favourite_layers(found))
    listed: list[Architecture] = []
    for mixture in mixtures:
        candidate = found.model_copy(update={"layers": mixture})
        if candidate not in listed:
            listed.append(candidate)
    return listed


def favourite_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the one kernel and dilation whose share of alpha is largest in the mean over them."""
    shares = torch.tensor([layer.alpha for layer in found.layers]).mean(0)
    row, column = divmod(int(shares.argmax()), len(found.dilations))
    kernel = {"kernel_size": found.kernel_sizes[row], "dilation": found.dilations[column]}
    return [layer.model_copy(update=kernel) for layer in found.layers]


def original_layers(found: Architecture) -> list[LayerArchitecture]:
    """The searched layers with the backbone's own kernels."""
    modules = dict(build_backbone(found.backbone, found.arguments).named_modules())

    def original(layer: LayerArchitecture) -> LayerArchitecture:
        conv = modules[layer.name]
        assert isinstance(conv, (nn.Conv1d, nn.Conv2d))
        kernel = {"kernel_size": int(conv.kernel_size[0]), "dilation": int(conv.dilation[0])}
        return layer.model_copy(update={**kernel, "original": True})

    return [original(layer) for layer in found.layers]


def check_folds(task: Task, settings: SearchSettings) -> None:
    """Refuse more folds than there are samples.

    Raises:
        InputError: there would be folds without any.
    """
    count = len(task.train.targets) + len(task.validation.targets)
    if settings.shortlist_folds > count:
        raise InputError(
            f"shortlist_folds = {settings.shortlist_folds}: task {task.name} has {count} training samples; use fewer "
            "folds"
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


def _score(task: Task, settings: SearchSettings, candidate: Architecture, folder: Path) -> dict[str, float]:
    """The last epoch's validation figures; the rate has fallen to nothing by then, so no epoch is chosen."""
    phase = Phase(PHASE, settings.shortlist_epochs, settings.learning_rate, 1.0, settings.retrain_clip)
    started = time.perf_counter()
    with quiet_lightning():
        L.seed_everything(settings.seed, verbose=False)  # every candidate starts alike
        module = PhaseModule(build_searched(candidate), task, phase, settings)
        trainer = trainer_of(
            settings, phase, [], alone=True, logger=False, enable_checkpointing=False, default_root_dir=folder
        )
        try:
            trainer.fit(module)
        except DivergedError:
            return {"seconds": time.perf_counter() - started}
        except SystemExit as error:  # Lightning turns Ctrl-C into an exit
            raise KeyboardInterrupt from error
    return {
        "loss": module.record["validation_loss"],
        "value": module.record[f"validation_{task.metric.name}"],
        "seconds": time.perf_counter() - started,
    }


def _of_candidate(known: dict[str, Any], index: int, folds: int) -> list[dict[str, float]]:
    """The scores of one candidate on all folds, or none if any is missing or diverged."""
    scores = [known.get(f"{index}.{fold}", {}) for fold in range(folds)]
    return scores if all("loss" in score for score in scores) else []


def _row(candidate: Architecture, index: int, scores: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "candidate": index,
        "kernels": [[layer.kernel_size, layer.dilation] for layer in candidate.layers],
        "loss": fmean(score["loss"] for score in scores) if scores else None,
        "validation": fmean(score["value"] for score in scores) if scores else None,
    }


def _best(rows: list[dict[str, Any]], task: Task, settings: SearchSettings) -> int:
    """The row with the best figure; of equals, the first, which has most of what was found."""
    judged = [row for row in rows if row["loss"] is not None]
    if not judged:
        return 0
    sign = -1 if task.metric.higher_is_better else 1

    def figure(row: dict[str, Any]) -> tuple[float, float]:
        value = sign * row["validation"]
        return (row["loss"], value) if settings.shortlist_by == "loss" else (value, row["loss"])

    return int(min(judged, key=figure)["candidate"])


def _words(scores: list[dict[str, float]], task: Task, settings: SearchSettings) -> str:
    loss, value = (fmean(score[name] for score in scores) for name in ("loss", "value"))
    folds = "" if settings.shortlist_folds == 1 else f" over {settings.shortlist_folds} folds"
    return f"validation {task.metric.name} {value:.4f}, loss {loss:.4f}{folds}"
