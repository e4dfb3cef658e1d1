"""The Optuna study of a tuning: where it lies, and what keeps it from being opened or written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import SQLAlchemyError

from dashdeploy.errors import InputError
from dashdeploy.search.checkpoint import FOLDER_NAME
from dashdeploy.search.settings import SearchSettings

STUDY = "tune"
DATABASE_NAME = "tune.db"
HEARTBEAT_SECONDS = 2
GRACE_SECONDS = 30

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ExperimentalWarning)
    PUT_BACK = RetryHeartbeatStaleTrialCallback()
"""Puts the trial of a process that died back into the queue."""


def storage_url(settings: SearchSettings, folder: Path) -> str:
    """Where the study of the run in `folder` lies."""
    return settings.tune_storage or f"sqlite:///{(folder / FOLDER_NAME / DATABASE_NAME).absolute()}"


def check_storage(settings: SearchSettings) -> None:
    """Find out before long work whether the user's storage can be opened.

    Raises:
        InputError: it cannot.
    """
    if settings.tune != "none" and settings.tune_storage:
        with quiet_optuna(), _named_errors(settings.tune_storage):
            RDBStorage(settings.tune_storage)


@contextmanager
def writing_to_the_study(settings: SearchSettings, folder: Path) -> Iterator[None]:
    """Name what keeps the study from being written.

    Raises:
        InputError: the disk is full, the database is gone, or the like.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        first = str(getattr(cause, "orig", None) or cause).splitlines()[0]
        raise InputError(
            f"the study of --tune at {storage_url(settings, folder)} cannot be written: {first}; make room or mend "
            "the database, and go on with --resume"
        ) from error


@contextmanager
def _named_errors(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # SQLAlchemy, its drivers and Optuna raise dozens of classes
        first = str(error).splitlines()[0]
        raise InputError(
            f"the study of --tune at {url} cannot be opened: {first}; mend --set tune_storage"
        ) from error


def study_lock(folder: Path) -> FileLock:
    """Held by the process that makes the study's tables or takes a trial, which SQLite lets two do at once."""
    return FileLock(folder / FOLDER_NAME / f"{DATABASE_NAME}.lock")


def open_study(settings: SearchSettings, folder: Path, *, higher_is_better: bool) -> optuna.Study:
    """The study of the run in `folder`, made if there is none.

    Raises:
        InputError: the storage cannot be opened.
    """
    url = storage_url(settings, folder)
    # Two writers of one SQLite file wait for each other instead of failing.
    engine = {"connect_args": {"timeout": 100}} if url.startswith("sqlite") else {}
    name = STUDY if not settings.tune_storage else f"{folder.name.removesuffix('.partial')}-{STUDY}"
    with quiet_optuna(), study_lock(folder), _named_errors(url):
        storage = RDBStorage(
            url,
            engine_kwargs=engine,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=GRACE_SECONDS,
            heartbeat_stale_trial_callback=PUT_BACK,
        )
        return optuna.create_study(
            study_name=name,
            storage=storage,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )


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
