"""What a run does: the settings as they were asked for, with a value wherever they leave one open.

The values come from the number of samples, the kind of the task and the machine; never from the task's name.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import Field

from dashdeploy.data.losses import cross_entropy
from dashdeploy.data.scaling.informative import samples_differ
from dashdeploy.data.task import Task
from dashdeploy.search.config.devices import read_devices
from dashdeploy.search.config.settings import Precision, SearchSettings

BATCHES, SMALLEST_BATCH, LARGEST_BATCH = 10, 8, 128
"""A batch is one of so many that the samples make, within these bounds (Wang et al., IJCNN 2017)."""
EPOCH_STEPS = 50
"""An epoch of a small data set has about so many: validating and saving after each pass would cost more than it."""
SEARCH_PASSES, SHORTLIST_PASSES, RETRAIN_PASSES = 12, 9, 30
FOLDS = 3
SAMPLES_CROSS_VALIDATED = 1000
"""Up to so many samples are always cross-validated."""
MOST_SAMPLES_CROSS_VALIDATED, MOST_NUMBERS_CROSS_VALIDATED = 10_000, 2**27
"""Up to so many samples are, if they have no more numbers: a division copies all of them twice (1 GiB)."""
RETRAIN_OVER_CANDIDATE = 3
"""How many times as long retraining is as the training of a candidate or trial, where its epochs are given."""
REFIT_BELOW = 10_000
LABEL_SMOOTHING = 0.1
LEARNING_RATES = {"adam": 0.005, "sgd": 0.1}
ALPHA_LEARNING_RATES = {"adam": 0.05, "sgd": 10.0}
TUNE_LEARNING_RATES = {"adam": (0.005, 0.02, 0.001), "sgd": (0.1, 0.01, 0.001)}
ASHA_LEARNING_RATES = {"adam": (1e-5, 0.05), "sgd": (1e-5, 0.5)}
WEIGHT_DECAYS = {"adam": 0.2, "sgd": 5e-4}
TUNE_WEIGHT_DECAYS = {"adam": (0.2, 5e-4), "sgd": (5e-4, 5e-6)}
ASHA_WEIGHT_DECAYS = {"adam": (5e-4, 1.0), "sgd": (5e-7, 5e-3)}
TUNE_TRIALS, ASHA_TRIALS = 20, 40
MOST_ASHA_EPOCHS = 20
EPOCHS = ("search_epochs", "shortlist_epochs", "tune_epochs", "retrain_epochs", "backbone_epochs")


class RunSettings(SearchSettings):
    """`SearchSettings` that leave open only what the short list finds out.

    The backbone's epochs and share may be None, as in retraining.
    """

    searched_arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    batch_size: int
    search_epochs: int
    retrain_epochs: int
    epoch_passes: int
    learning_rate: float
    weight_decay: float
    search_learning_rate: float
    alpha_learning_rate: float
    label_smoothing: float
    refit: bool
    shortlist_epochs: int
    shortlist_folds: int
    shortlist_parts: int
    tune_epochs: int
    tune_trials: int
    tune_learning_rates: tuple[float, ...]
    tune_weight_decays: tuple[float, ...]
    precision: Precision


def run_settings(task: Task, settings: SearchSettings) -> RunSettings:
    """`settings` with everything that they leave open, for `task`.

    The numbers of epochs are those of a run that may take as long as it needs.
    """
    train, whole = len(task.train.targets), len(task.train.targets) + len(task.validation.targets)
    chosen: dict[str, Any] = {}

    def suited(name: str, value: Any) -> Any:  # noqa: ANN401 - settings are of many types
        """The setting, which is `value` if it was left open and not chosen before."""
        asked = getattr(settings, name)
        return chosen.setdefault(name, value) if asked is None else asked

    batch = suited("batch_size", min(LARGEST_BATCH, max(SMALLEST_BATCH, round(whole / BATCHES))))
    suited("searched_arguments", {})
    suited("refit", whole < REFIT_BELOW)
    suited("shortlist_parts", suited("shortlist_folds", _folds(task, whole)))
    suited("search_learning_rate", suited("learning_rate", LEARNING_RATES[settings.optimizer]))
    suited("alpha_learning_rate", ALPHA_LEARNING_RATES[settings.optimizer])
    halves = settings.tune == "asha"
    rates = ASHA_LEARNING_RATES if halves else TUNE_LEARNING_RATES
    suited("tune_learning_rates", rates[settings.optimizer])
    suited("weight_decay", WEIGHT_DECAYS[settings.optimizer])
    decays = ASHA_WEIGHT_DECAYS if halves else TUNE_WEIGHT_DECAYS
    suited("tune_weight_decays", decays[settings.optimizer])
    suited("tune_trials", ASHA_TRIALS if halves else TUNE_TRIALS)
    suited("label_smoothing", LABEL_SMOOTHING if task.loss is cross_entropy else 0.0)
    suited("precision", _precision(task, settings))
    if settings.scale_samples is None and not _can_be_scaled(task):
        chosen["scale_samples"] = False
    batches = max(1, train // min(batch, train))
    given = any(getattr(settings, name) is not None for name in EPOCHS)
    passes = suited("epoch_passes", 1 if given else max(1, round(EPOCH_STEPS / batches)))

    def epochs(name: str, steps: int, least_passes: int, share: float = 1.0) -> None:
        per_pass = max(1, round(share * batches))
        suited(name, -(-max(steps, least_passes * batches) // (per_pass * passes)))

    if settings.retrain_epochs is not None:
        for name in ("shortlist_epochs", "tune_epochs"):
            suited(name, -(-settings.retrain_epochs // RETRAIN_OVER_CANDIDATE))
    epochs("search_epochs", settings.search_steps, SEARCH_PASSES, settings.search_share)
    epochs("shortlist_epochs", settings.shortlist_steps, SHORTLIST_PASSES, settings.shortlist_share)
    epochs("tune_epochs", settings.shortlist_steps, SHORTLIST_PASSES, settings.tune_share)
    if halves and "tune_epochs" in chosen:
        chosen["tune_epochs"] = min(MOST_ASHA_EPOCHS, chosen["tune_epochs"])
    epochs("retrain_epochs", settings.retrain_steps, RETRAIN_PASSES, settings.retrain_share)
    return RunSettings.model_validate(settings.model_dump() | chosen)


def _can_be_scaled(task: Task) -> bool:
    """Whether scaling each series by itself would change anything but what the data say of it in further channels."""
    asked = task.rank == 1 and task.classifies_samples and task.scaling.sizes is None
    return asked and samples_differ(task.train.inputs)


def _folds(task: Task, samples: int) -> int:
    """Few samples are judged by cross-validation, since a tenth of them says little."""
    small = samples * math.prod(task.input_shape) <= MOST_NUMBERS_CROSS_VALIDATED
    most = MOST_SAMPLES_CROSS_VALIDATED if small else SAMPLES_CROSS_VALIDATED
    return FOLDS if samples <= most else 1


def _precision(task: Task, settings: SearchSettings) -> Precision:
    """Mixed bfloat16 where it is quick, and only the order of the outputs counts; numbers need all their digits."""
    if task.kind == "regression":
        return "32-true"
    if read_devices(settings.devices).is_cuda:
        quick = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        quick = has_quick_bfloat16()
    return "bf16-mixed" if quick else "32-true"


def has_quick_bfloat16() -> bool:
    """Whether this processor multiplies matrices in bfloat16 by instructions of its own."""
    # torch has no public name for these two.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
