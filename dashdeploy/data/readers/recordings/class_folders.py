"""A folder for each class: FOLDER/train/CLASS and FOLDER/test/CLASS (and val), or FOLDER/CLASS, of sounds or images.

Files below a class's folder count, however deep. Hidden files, and what systems leave beside files, do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from dashdeploy.data.arrays.names import SPLIT_NAMES
from dashdeploy.data.arrays.splitting import chosen_for_test, note_of_test_part, said_of_test_part
from dashdeploy.data.arrays.stored import StoredArray
from dashdeploy.data.checks import Array, refuse
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.data.readers.npy_folder import sha256_of_tree
from dashdeploy.data.readers.recordings import audio, images
from dashdeploy.data.task import Task

_LEFT_BY_SYSTEMS = frozenset({"thumbs.db", "desktop.ini", "__macosx"})

Sample = tuple[Path, str]
"""A file and its class."""


def media_in(folder: Path) -> Literal["sounds", "images"] | None:
    """What the first file below `folder` is that is a sound or an image; None where there is none."""
    for path in _files_below(folder):
        if path.suffix.lower() in audio.SUFFIXES:
            return "sounds"
        if path.suffix.lower() in images.SUFFIXES:
            return "images"
    return None


def load_class_folders(folder: Path, *, seed: int = 0, options: DataOptions | None = None) -> Task:
    """Make a task of sounds or images in folders that are called as their classes.

    Args:
        folder: the folder that holds these, or train and test that hold these.
        seed: chooses what is held out of the training data for validation, and for the test where the data have no
            test part.
        options: the loss, the metric, the scaling, what becomes of several lengths, the size of images.

    Raises:
        InputError: there is nothing of the kind, or a file cannot be used; the message names it and the fix.
        MissingCapabilityError: the package that decodes them is not installed.
    """
    options = options or DataOptions()
    if options.predict not in (None, "classification"):
        refuse(folder, "its folders are classes", f"leave out `predict={options.predict}`")
    found, notes = _splits(folder)
    kinds = {
        name: next(
            (path for split in found.values() for path, _ in split if path.suffix.lower() in known), None
        )
        for name, known in (("sounds", audio.SUFFIXES), ("images", images.SUFFIXES))
    }
    if None not in kinds.values():
        refuse(folder, f"it holds both {kinds['sounds']} and {kinds['images']}", "keep sounds or images")
    files = [path for split in found.values() for path, _ in split]
    source = {"path": str(folder.resolve()), "sha256": sha256_of_tree(folder, files)}
    if "test" not in found:
        samples = found["train"]
        held = chosen_for_test(np.array([name for _, name in samples]), len(samples), seed)
        found["test"] = [each for each, to_test in zip(samples, held, strict=True) if to_test]
        found["train"] = [each for each, to_test in zip(samples, held, strict=True) if not to_test]
        chosen = said_of_test_part("stratified", seed)
        source, notes = source | {"test_split": chosen}, [*notes, note_of_test_part(chosen)]
    paths = {name: [path for path, _ in split] for name, split in found.items()}
    if kinds["sounds"] is not None:
        if options.image_size is not None:
            refuse(folder, "it holds sounds", "leave out `image_size`")
        inputs, said = audio.stored_sounds(paths, options.how_lengths)
    else:
        inputs, said = images.stored_images(paths, options.image_size)
    arrays: dict[str, Array | StoredArray] = {}
    for name, split_ in found.items():
        arrays |= {f"x_{name}": inputs[name], f"y_{name}": np.array([each for _, each in split_])}
    return task_from_arrays(
        folder.resolve().name,
        folder,
        arrays,
        replace(options, layout="channels-first", image_size=None),
        seed=seed,
        source=source,
        notes=[*notes, *said],
        padding=False,
    )


def _splits(folder: Path) -> tuple[dict[str, list[Sample]], list[str]]:
    """The samples by split, and what is to be said of what lies beside them."""
    folders = _folders(folder)
    names = [each.name.lower() for each in folders]
    ways = {SPLIT_NAMES.get(name) for name in names}
    if not ({"train", "test"} <= ways or ("train" in ways and None not in ways)):
        samples, notes = _samples(folder, folders)
        return {"train": samples}, notes
    found: dict[str, list[Sample]] = {}
    notes = []
    for each in folders:
        split = SPLIT_NAMES.get(each.name.lower())
        if split is None:
            notes.append(f"{each.name} beside {folder.name}'s train is left out")
        elif split in found:
            refuse(each, f"another folder is {split}, too", "keep one of them")
        else:
            found[split], said = _samples(each, _folders(each))
            notes += said
    return found, notes


def _samples(folder: Path, classes: Sequence[Path]) -> tuple[list[Sample], list[str]]:
    """The files of all classes, in order, and what is to be said of others."""
    known = audio.SUFFIXES | images.SUFFIXES
    samples: list[Sample] = []
    others: list[Path] = []
    notes: list[str] = []
    stray = next((each for each in _visible(folder) if each.is_file() and each.suffix.lower() in known), None)
    if stray is not None:
        refuse(stray, "it lies in no folder of a class", f"move it to {folder / 'CLASS' / stray.name}")
    for each in classes:
        files = list(_files_below(each))
        of_class = [path for path in files if path.suffix.lower() in known]
        others += [path for path in files if path.suffix.lower() not in known]
        samples += [(path, each.name) for path in of_class]
        if not of_class:
            notes.append(
                f"{each.relative_to(folder.parent)} holds no sound and no image: this class is left out"
            )
    if not samples:
        refuse(folder, "no folder in it holds a sound or an image", "make a folder for every class")
    if others:
        what = "file is" if len(others) == 1 else "files are"
        notes.append(
            f"{len(others)} {what} neither sounds nor images of a known kind and left out, such as {others[0]}"
        )
    return samples, notes


def _folders(folder: Path) -> list[Path]:
    return [each for each in _visible(folder) if each.is_dir()]


def _visible(folder: Path) -> Iterator[Path]:
    """What is in a folder, in order, hidden entries left out."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.name.lower() not in _LEFT_BY_SYSTEMS:
            yield path


def _files_below(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir():
            yield from _files_below(path)
        elif path.is_file():
            yield path
