"""The Optuna study of a tuning: where it lies, and what keeps it from being opened or written."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial
from sqlalchemy.exc import SQLAlchemyError

from dashdeploy.artifacts.atomic import write_text_atomically
from dashdeploy.errors import InputError, first_line
from dashdeploy.search.config.phases import PhaseName
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.staging.directory import CHECKPOINTS_NAME, STAGING_SUFFIX
from dashdeploy.search.staging.run_config import without_password
from dashdeploy.search.tuning.halving import RUNG_ATTRIBUTE

STUDY: PhaseName = "tune"
DATABASE_NAME = "tune.db"
NAME_FILE = "tune.study"
HEARTBEAT_SECONDS = 2
GRACE_SECONDS = 30

WORKER = "worker"
"""Attribute of a trial: which process took it."""


class _PutBack(RetryHeartbeatStaleTrialCallback):
    """Puts the trial of a process that died back into the queue, without that one's name and its rungs.

    Optuna's pruner would take the rungs for passed, though it may just have decided otherwise; what was passed for
    certain is in the trial's checkpoint.
    """

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:
        nameless = copy.deepcopy(trial)
        nameless.user_attrs.pop(WORKER, None)
        nameless.system_attrs = {
            name: value for name, value in trial.system_attrs.items() if not name.startswith(RUNG_ATTRIBUTE)
        }
        super().__call__(study, nameless)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    PUT_BACK = _PutBack()


def storage_url(settings: RunSettings, folder: Path) -> str:
    """Where the study of the run in `folder` lies."""
    return settings.tune_storage or f"sqlite:///{(folder / CHECKPOINTS_NAME / DATABASE_NAME).absolute()}"


def check_storage(settings: RunSettings) -> None:
    """Find out before long work whether the user's storage can be opened.

    Raises:
        InputError: it cannot.
    """
    if settings.tune != "none" and settings.tune_storage:
        with quiet_optuna(), _named_errors(settings, settings.tune_storage):
            RDBStorage(settings.tune_storage)


@contextmanager
def writing_to_the_study(settings: RunSettings, folder: Path) -> Iterator[None]:
    """Name what keeps the study from being written.

    Raises:
        InputError: the disk is full, the database is gone, or the like.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        raise InputError(
            f"the study of `tune` at {without_password(storage_url(settings, folder))} cannot be written: "
            f"{first_line(getattr(cause, 'orig', None) or cause)}; free space or repair the database, then "
            "continue with `resume=True`"
        ) from error


@contextmanager
def _named_errors(settings: RunSettings, url: str) -> Iterator[None]:
    mend = (
        "correct `tune_storage`" if settings.tune_storage else "free space, then continue with `resume=True`"
    )
    try:
        yield
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise dozens of classes
        raise InputError(
            f"the study of `tune` at {without_password(url)} cannot be opened: {first_line(error)}; {mend}"
        ) from error


def study_lock(folder: Path) -> FileLock:
    """Held by the process that makes the study's tables or takes a trial, which SQLite lets two do at once."""
    return FileLock(folder / CHECKPOINTS_NAME / f"{DATABASE_NAME}.lock")


def open_study(settings: RunSettings, folder: Path, *, higher_is_better: bool) -> optuna.Study:
    """The study of the run in `folder`, made if there is none.

    Raises:
        InputError: the storage cannot be opened.
    """
    url = storage_url(settings, folder)
    # Two writers of one SQLite file wait for each other instead of failing.
    engine = {"connect_args": {"timeout": 100}} if url.startswith("sqlite") else {}
    with quiet_optuna(), study_lock(folder), _named_errors(settings, url):
        storage = RDBStorage(
            url,
            engine_kwargs=engine,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=PUT_BACK,
        )
        return optuna.create_study(
            study_name=_study_name(settings, folder),
            storage=storage,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )


def _study_name(settings: RunSettings, folder: Path) -> str:
    """The study's name: at a storage of the user's it is this run's alone, though others may have the run's name."""
    if not settings.tune_storage:
        return STUDY
    path = folder / CHECKPOINTS_NAME / NAME_FILE
    if not path.exists():
        write_text_atomically(path, f"{folder.name.removesuffix(STAGING_SUFFIX)}-{STUDY}-{token_hex(4)}")
    return path.read_text(encoding="utf-8")


def record_heartbeat(trial: Trial) -> None:
    """A trial's heartbeat now; Optuna's own thread may take a while to its first one."""
    storage: Any = trial.storage
    storage.record_heartbeat(trial._trial_id)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's log of every trial and its notes on what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
