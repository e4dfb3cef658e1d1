"""Files and directories that appear whole or not at all.

Everything is written beside its final name and renamed into place, so a reader, or a process that is killed,
never leaves or sees half of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dashdeploy.errors import InputError

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, replacing what is there only once all of it is on disk.

    Raises:
        InputError: the folder is missing or not writable, or the disk is full.
    """
    write_bytes_atomically(path, text.encode())


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what is there only once all of it is on disk.

    Raises:
        InputError: the folder is missing or not writable, or the disk is full.
    """
    with _named_os_errors(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(temporary).unlink()
            raise


@contextmanager
def atomic_directory(final: Path, *, replace: bool = False, parameter: str = "out") -> Iterator[Path]:
    """Yield an empty directory beside `final`; rename it to `final` if the block ends well, else remove it.

    Args:
        final: where the directory is to appear. Missing parents are made.
        replace: whether a directory that is already there may be replaced (the old one goes last).
        parameter: what the place is called where it was named.

    Raises:
        InputError: `final` exists and `replace` is false, its parent cannot be written, or the disk is full.
            Other errors of the block are passed on as they are.
    """
    with _named_os_errors(final):
        if not replace:
            _refuse_existing(final, parameter)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    try:
        with _named_os_errors(final, only=NO_ROOM):
            temporary.chmod(0o755)
            yield temporary
        with _named_os_errors(final):
            if not replace:  # somebody else may have been quicker
                _refuse_existing(final, parameter)
            rename_into_place(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def check_writable(final: Path, *, parameter: str = "out") -> None:
    """Find out before long work whether `final` can be written after it.

    Args:
        final: the directory that is to appear.
        parameter: what the place is called where it was named.

    Raises:
        InputError: `final` exists, or its parent cannot be written.
    """
    with _named_os_errors(final):
        _refuse_existing(final, parameter)
        nearest = next(folder for folder in final.absolute().parents if folder.exists())
        Path(tempfile.mkdtemp(dir=nearest, prefix=f".{final.name}.")).rmdir()


def check_file_writable(path: Path) -> None:
    """Find out before long work whether the file `path` can be written after it.

    Raises:
        InputError: its folder is missing or not writable, or it is a folder itself.
    """
    with _named_os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        Path(temporary).unlink()


def rename_into_place(temporary: Path, final: Path) -> None:
    """Give the finished directory `temporary` its `final` name; an older directory there is removed after."""
    if not final.exists():
        temporary.rename(final)
        return
    retired = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.old."))
    try:
        final.rename(retired / final.name)
        try:
            temporary.rename(final)
        except BaseException:
            (retired / final.name).rename(final)
            raise
    finally:
        shutil.rmtree(retired, ignore_errors=True)


def _refuse_existing(final: Path, parameter: str) -> None:
    if final.exists():
        raise InputError(f"{final} already exists; choose another `{parameter}` or remove it first")


@contextmanager
def _named_os_errors(path: Path, *, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turn the operating system's refusals (permission, full disk, no such folder) into one clear line.

    Args:
        path: what was to be written.
        only: the error numbers to turn; None means all.
    """
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; choose a folder that is writable and has free space"
        ) from error
