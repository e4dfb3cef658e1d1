"""All of a file or directory appears, or none of it."""

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from dashdeploy.artifacts.atomic import (
    atomic_directory,
    check_writable,
    rename_into_place,
    sha256_of,
    write_text_atomically,
)
from dashdeploy.errors import InputError


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_sha256_is_of_the_bytes(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"\x00\r\nbytes")
    assert sha256_of(file) == hashlib.sha256(b"\x00\r\nbytes").hexdigest()


def test_text_replaces_and_leaves_nothing_beside(tmp_path):
    file = tmp_path / "file.json"
    file.write_text("old")
    write_text_atomically(file, "né\n")
    assert file.read_bytes() == "né\n".encode()
    assert names_in(tmp_path) == ["file.json"]


def test_text_that_cannot_be_encoded_leaves_the_old_file(tmp_path):
    file = tmp_path / "file.json"
    file.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(file, "new\ud800")
    assert file.read_text() == "old"
    assert names_in(tmp_path) == ["file.json"]


def test_missing_folder_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match=r"cannot write .*/no/file: No such file"):
        write_text_atomically(tmp_path / "no" / "file", "text")


def test_directory_appears_with_its_content(tmp_path):
    final = tmp_path / "deep" / "final"
    with atomic_directory(final) as folder:
        (folder / "a").write_text("1")
        assert folder.parent == final.parent  # one file system, so that the rename is atomic
        assert not final.exists()
    assert (final / "a").read_text() == "1"
    assert names_in(final.parent) == ["final"]
    assert final.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_directory_of_a_failed_block_is_gone(tmp_path, error):
    with pytest.raises(type(error)), atomic_directory(tmp_path / "final") as folder:
        (folder / "a").write_text("1")
        raise error
    assert names_in(tmp_path) == []


def test_an_existing_directory_is_kept_unless_replaced(tmp_path):
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").touch()
    with pytest.raises(InputError, match="already exists"), atomic_directory(final):
        pytest.fail("the block must not run")
    with pytest.raises(RuntimeError), atomic_directory(final, replace=True):
        raise RuntimeError
    assert names_in(final) == ["old"]
    with atomic_directory(final, replace=True) as folder:
        (folder / "new").touch()
    assert names_in(final) == ["new"]
    assert names_in(tmp_path) == ["final"]


def test_a_directory_that_appeared_meanwhile_is_kept(tmp_path):
    final = tmp_path / "final"
    with pytest.raises(InputError, match="already exists"), atomic_directory(final):
        final.mkdir()
        (final / "theirs").touch()
    assert names_in(final) == ["theirs"]
    assert names_in(tmp_path) == ["final"]


def test_full_disk_in_the_block_is_named_and_other_errors_pass(tmp_path):
    final = tmp_path / "final"
    with pytest.raises(InputError, match=r"cannot write .*final: No space left"), atomic_directory(final):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError), atomic_directory(final):
        (tmp_path / "missing input").read_text()
    assert names_in(tmp_path) == []


def test_parent_that_is_a_file_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"), atomic_directory(tmp_path / "file" / "final"):
        pytest.fail("the block must not run")


def test_a_rename_that_fails_puts_the_old_one_back(tmp_path):
    final = tmp_path / "final"
    final.mkdir()
    (final / "old").touch()
    with pytest.raises(FileNotFoundError):
        rename_into_place(tmp_path / "never written", final)
    assert names_in(final) == ["old"]
    assert names_in(tmp_path) == ["final"]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from dashdeploy.artifacts.atomic import atomic_directory\n"
        "with atomic_directory(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').touch()\n"
        "    print('writing', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "final")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "final").exists()


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path / "not" / "yet" / "there")
    assert names_in(tmp_path) == []


def test_check_writable_names_what_is_in_the_way(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there already exists"):
        check_writable(tmp_path / "there")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*file/out: Not a directory"):
        check_writable(tmp_path / "file" / "out")
