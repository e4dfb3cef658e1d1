"""The table of measured costs: shared by processes, rebuilt when damaged, never trusted blindly."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from dashdeploy.errors import InputError
from dashdeploy.export.planning.tuning_cache import TuningCache, cache_folder

COSTS = {"direct": (2e-3, 0.0), "fft(tile=16)": (1e-3, 3e-7)}


def add_many(folder, name, start):
    table = TuningCache("a device", folder)
    start.wait(30)
    for i in range(20):
        table.add("shared", {f"{name}{i}": (1e-3, 0.0)})
        table.add(f"{name}{i}", {"direct": (1e-3, 0.0)})


def test_keeps_what_was_added(tmp_path):
    TuningCache("a device", tmp_path).add("abc", COSTS)
    table = TuningCache("a device", tmp_path)
    assert table.get("abc") == COSTS
    assert table.get("abd") == {}
    table.add("abc", {"direct": (3e-3, 0.0), "other": (4e-3, 1e-7)})
    assert table.get("abc") == {**COSTS, "direct": (3e-3, 0.0), "other": (4e-3, 1e-7)}


def test_processes_that_add_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")  # a fresh interpreter would spend its time importing torch
    start = context.Barrier(2)
    adders = [context.Process(target=add_many, args=(tmp_path, name, start)) for name in "ab"]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join(60)
    assert [adder.exitcode for adder in adders] == [0, 0]
    table = TuningCache("a device", tmp_path)
    assert len(table.get("shared")) == 40
    assert all(table.get(f"{name}{i}") for name in "ab" for i in range(20))


def damaged(good):
    """Well-formed and malformed documents, none of which may be believed."""
    document = json.loads(good)

    def with_entry(entry):
        return json.dumps({**document, "costs": {"abc": {"direct": entry}}}).encode()

    return [
        b"",
        b"\xff\xfe",
        good[:-30],
        b"[]",
        b"null",
        json.dumps({**document, "format": 0}).encode(),
        json.dumps({**document, "device": "another device"}).encode(),
        json.dumps({**document, "costs": []}).encode(),
        json.dumps({"format": document["format"], "device": document["device"]}).encode(),
        *(
            with_entry(entry)
            for entry in (
                [0.0, 0.0],
                [-1e-3, 0.0],
                [float("nan"), 0.0],
                [float("inf"), 0.0],
                [1e-3, -1.0],
                [1e-3, float("nan")],
                [1e-3],
                [1e-3, 0.0, 0.0],
                ["1e-3", 0.0],
                None,
                5,
            )
        ),
    ]


def test_a_damaged_file_is_rebuilt_with_a_warning(tmp_path, caplog):
    table = TuningCache("a device", tmp_path)
    table.add("abc", COSTS)
    good = table.path.read_bytes()
    for content in damaged(good):
        table.path.write_bytes(content)
        assert table.get("abc") == {}
        assert not table.path.exists()
        table.path.write_bytes(content)
        table.add("abc", COSTS)
        assert caplog.messages == [f"{table.path} is damaged; its costs are measured again"] * 2
        caplog.clear()
        assert table.path.read_bytes() == good


def test_devices_do_not_mix(tmp_path):
    TuningCache("a device", tmp_path).add("abc", COSTS)
    other = TuningCache("another device", tmp_path)
    assert other.get("abc") == {}
    other.add("abc", {"direct": (9.0, 0.0)})
    assert TuningCache("a device", tmp_path).get("abc") == COSTS


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"in .*file/costs: .*DASHDEPLOY_CACHE") as error:
        TuningCache("a device", tmp_path / "file" / "costs")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path):
    table = TuningCache("a device", tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"Permission denied; .*DASHDEPLOY_CACHE"):
        table.add("abc", COSTS)


def test_the_folder_is_the_users_choice(tmp_path, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path / "chosen"))
    assert TuningCache("a device").path.parent == tmp_path / "chosen"
    monkeypatch.delenv("DASHDEPLOY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "dashdeploy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "dashdeploy"
