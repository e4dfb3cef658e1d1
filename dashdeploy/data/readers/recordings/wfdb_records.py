"""WFDB records, as PhysioNet has them: NAME.hea with its signal files, read by the package wfdb.

Physical units. What the format marks as invalid is missing, before anything is averaged or resampled; channels of
several rates come to the fastest one; checksums are compared, which wfdb leaves to its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dashdeploy.data.arrays.splitting import chosen_for_test, note_of_test_part, said_of_test_part
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.npy_folder import sha256_of_tree
from dashdeploy.data.readers.recordings.record_labels import Labels, labels_of
from dashdeploy.data.readers.recordings.sampled_signals import Recording, Signal, resampled, stored_signals
from dashdeploy.data.task import Task
from dashdeploy.errors import DashdeployError, MissingCapabilityError

RECORDS = "RECORDS"


class _Header(NamedTuple):
    """What a record's header says, as far as it counts here."""

    path: Path  # without suffix
    rate: float
    frames: int
    per_frame: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    comments: tuple[str, ...]
    files: tuple[Path, ...]


def has_records(folder: Path) -> bool:
    """Whether `folder` holds WFDB records."""
    return (folder / RECORDS).is_file() or next(folder.rglob("[!.]*.hea"), None) is not None


def load_wfdb(folder: Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of the WFDB records in `folder`, each of which is a sample.

    Args:
        folder: with RECORDS, or ``.hea`` files anywhere below; and the labels, see `record_labels`.
        seed: chooses what is held out of the training data for validation, and for the test where the data have no
            test part.
        options: what is predicted, the loss, the metric, the scaling, what becomes of missing values (interpolated by
            default) and of several lengths.

    Raises:
        InputError: a record or its label cannot be used; the message names it and the fix.
        MissingCapabilityError: wfdb is not installed.
    """
    try:
        import wfdb  # noqa: F401
    except ImportError as error:
        raise MissingCapabilityError(
            f"{folder} holds WFDB records, which wfdb reads; install it with: pip install 'dashdeploy[formats]'"
        ) from error
    options = options or DataOptions()
    headers = {name: _header(folder / name) for name in _records(folder)}
    labels = labels_of(folder, {name: each.comments for name, each in headers.items()}, options.predict)
    _check_alike([headers[name] for split in labels.records.values() for name in split])
    used = [headers[name] for split in labels.records.values() for name in split]
    files = {file for each in used for file in each.files} | set(labels.files)
    source = {"path": str(folder.resolve()), "sha256": sha256_of_tree(folder, files)}
    labels, notes, how = _with_test_part(labels, options, seed)
    first = headers[labels.records["train"][0]]
    recordings = {
        name: [_recording(headers[each], first.names) for each in split]
        for name, split in labels.records.items()
    }
    inputs, said = stored_signals(recordings, options.how_lengths)
    arrays: dict[str, Array | StoredArray] = {}
    for name in labels.records:
        arrays |= {f"x_{name}": inputs[name], f"y_{name}": labels.targets[name]}
    if labels.names:
        arrays["labels"] = np.array(labels.names)
    return task_from_arrays(
        folder.resolve().name,
        folder,
        arrays,
        replace(options, layout="channels-first"),
        seed=seed,
        source=source | how,
        notes=[*labels.notes, *notes, *said],
        missing="interpolate",
        padding=False,
    )


def _with_test_part(
    labels: Labels, options: DataOptions, seed: int
) -> tuple[Labels, list[str], dict[str, str]]:
    """The labels with a test part, and what is to be said and recorded of that."""
    if "test" in labels.records:
        return labels, [], {}
    names, targets = labels.records["train"], labels.targets["train"]
    classes = targets if options.predict in (None, "classification") else None
    held = chosen_for_test(classes, len(names), seed)
    chosen = said_of_test_part("random" if classes is None else "stratified", seed)
    records: dict[str, Sequence[str]] = dict(labels.records)
    for part, mask in (("train", ~held), ("test", held)):
        records[part] = [names[row] for row in np.flatnonzero(mask).tolist()]
    divided = {**labels.targets, "train": targets[~held], "test": targets[held]}
    part_of = labels._replace(records=records, targets=divided)
    return part_of, [note_of_test_part(chosen)], {"test_split": chosen}


def _records(folder: Path) -> list[str]:
    """The names of the records, relative to `folder`; of those that lists in folders name, or of all headers."""
    listed = folder / RECORDS
    if not listed.is_file():
        return [
            each.relative_to(folder).with_suffix("").as_posix() for each in sorted(folder.rglob("[!.]*.hea"))
        ]
    names: list[str] = []
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        name = line.strip()
        if name.endswith("/"):
            names += [f"{name}{inner}" for inner in _records(folder / name)]
        elif name:
            names.append(name)
    if not names:
        refuse(listed, "it names no record", "write the name of a record into every line")
    return names


def _header(path: Path) -> _Header:
    import wfdb

    place = path.with_name(f"{path.name}.hea")
    if not place.is_file():
        refuse(place, "the header is missing", "copy it as well, or take the record out of RECORDS")
    try:
        header: Any = wfdb.rdheader(str(path))
    except Exception as error:  # a damaged header raises almost anything
        refuse(place, f"it is not a WFDB header ({' '.join(str(error).split())})", "copy it again")
    if isinstance(header, wfdb.MultiRecord):
        refuse(place, "it is a record of several segments", "write each segment as a record, or join them")
    if not header.n_sig or not header.sig_len:
        refuse(place, "it has no signals of a known length", "leave this record out")
    names = tuple(header.sig_name) if header.sig_name else ()
    if len(set(names)) < header.n_sig or None in names:
        names = tuple(str(index) for index in range(header.n_sig))
    files = [place, *(place.with_name(name) for name in dict.fromkeys(header.file_name))]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        refuse(place, f"its signals are in {missing.name}, which is not there", "copy that file as well")
    return _Header(
        path,
        float(header.fs),
        int(header.sig_len),
        tuple(each or 1 for each in header.samps_per_frame),
        names,
        tuple(each or "" for each in header.units),
        tuple(header.comments),
        tuple(files),
    )


def _check_alike(headers: Sequence[_Header]) -> None:
    """Refuse records of other channels, or units, than the first."""
    first = headers[0]
    units = dict(zip(first.names, first.units, strict=True))
    for each in headers:
        place = f"{each.path}.hea"
        if set(each.names) != set(first.names):
            refuse(
                place,
                f"its channels are {', '.join(each.names)}, those of {first.path.name} {', '.join(first.names)}",
                "give all records the same channels",
            )
        for name, unit in zip(each.names, each.units, strict=True):
            if unit != units[name]:
                refuse(
                    place,
                    f"channel {name} is in {unit}, in {first.path.name} in {units[name]}",
                    "give a channel the same unit in all records",
                )


def _recording(header: _Header, names: Sequence[str]) -> Recording:
    fastest = max(header.per_frame)
    return Recording(
        partial(_read, header, names), len(names), header.frames * fastest, header.rate * fastest
    )


def _read(header: _Header, names: Sequence[str]) -> Signal:
    """The channels `names`, in this order, in physical units, at the rate of the fastest; NaN where it is invalid."""
    import wfdb

    try:
        record: Any = wfdb.rdrecord(str(header.path), physical=False, smooth_frames=False)
        _check_sums(header, record)
        channels = record.dac(expanded=True)
    except DashdeployError:
        raise
    except Exception as error:  # a damaged file raises almost anything
        what = " ".join(str(error).split())
        refuse(f"{header.path}.hea", f"its signals cannot be read ({what})", "copy its files again")
    fastest = max(header.per_frame)
    rows = [
        resampled(np.asarray(channel, np.float32)[None], header.rate * each, header.rate * fastest)[0]
        for channel, each in zip(channels, header.per_frame, strict=True)
    ]
    return np.stack([rows[header.names.index(name)] for name in names])


def _check_sums(header: _Header, record: Any) -> None:  # noqa: ANN401 - wfdb has no types
    found = record.calc_checksum(expanded=True)
    for name, given, have in zip(header.names, record.checksum or [None] * len(found), found, strict=True):
        if given is not None and given % 65536 != have % 65536:
            refuse(
                f"{header.path}.hea",
                f"the checksum of channel {name} is {have % 65536}, its header says {given % 65536}",
                "copy its files again",
            )
