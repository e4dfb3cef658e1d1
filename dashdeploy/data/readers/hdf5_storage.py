"""Where an HDF5 dataset's numbers lie, and what HDF5 would read as its fill value, mostly 0, without a word.

That is: a virtual dataset whose source file or dataset is missing or too small, or that has none at all somewhere; an
external file that is cut short; a dataset that was never written. The HDF5 User Guide has both forms of storage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dashdeploy.data.checks import refuse, shown

_DEEPEST = 8  # virtual datasets of virtual datasets


def files_of(path: Path, dataset: Any, depth: int = 0) -> set[Path]:  # noqa: ANN401 - h5py has no types
    """All files that hold numbers of `dataset`, its own included; each was found to hold what is asked of it.

    Args:
        path: the user's file, for messages.
        dataset: an open ``h5py.Dataset``.
        depth: how many virtual datasets lead to it.

    Raises:
        InputError: one is missing or too small, or there are parts that none holds.
    """
    own = Path(dataset.file.filename)
    name = f"{dataset.name.lstrip('/')}" + ("" if depth == 0 else f" in {own.name}")
    files = {own.resolve()}
    for external, offset, size in dataset.external or ():
        files.add(_external_file(path, name, dataset, external, offset, size))
    if dataset.is_virtual:
        if depth == _DEEPEST:
            refuse(path, f"{name} is a virtual dataset of many others", "copy the numbers into one dataset")
        files |= _virtual_sources(path, name, own, dataset, depth)
    return files


def holes_of(path: Path, dataset: Any) -> list[str]:  # noqa: ANN401
    """What is to be said of chunks that nobody wrote, a line.

    Raises:
        InputError: nobody wrote any of it.
    """
    import h5py

    name = dataset.name.lstrip("/")
    if dataset.is_virtual or dataset.external or not dataset.size:
        return []
    if dataset.id.get_space_status() == h5py.h5d.SPACE_STATUS_NOT_ALLOCATED:
        refuse(path, f"{name} was never written: all of it would be {dataset.fillvalue}", "write it")
    if dataset.chunks is None:
        return []
    chunks = 1
    for axis, step in zip(dataset.shape, dataset.chunks, strict=True):
        chunks *= -(-axis // step)
    written = dataset.id.get_num_chunks()
    if written == chunks:
        return []
    return [
        f"{chunks - written} of {chunks} chunks of {name} were never written and count as {dataset.fillvalue}"
    ]


def _external_file(
    path: Path,
    name: str,
    dataset: Any,  # noqa: ANN401
    external: str,
    offset: int,
    size: int,
) -> Path:
    import h5py

    file = Path(external)  # relative to the working directory, as HDF5 has it
    if not file.is_file():
        refuse(path, f"the numbers of {name} are in {external}, which is not there", "copy that file as well")
    needed = dataset.size * dataset.dtype.itemsize if size == h5py.h5f.UNLIMITED else size
    if file.stat().st_size < offset + needed:
        refuse(
            path,
            f"{external}, which holds numbers of {name}, has {file.stat().st_size} of {offset + needed} bytes",
            "copy that file again",
        )
    return file.resolve()


def _virtual_sources(path: Path, name: str, own: Path, dataset: Any, depth: int) -> set[Path]:  # noqa: ANN401
    import h5py

    files: set[Path] = set()
    mapped = 0
    for source in dataset.virtual_sources():
        mapped += source.vspace.get_select_npoints()
        if "%b" in source.file_name or "%b" in source.dset_name:
            refuse(
                path,
                f"{name} takes its numbers from a series of sources, {source.file_name}:{source.dset_name}",
                "copy the numbers into one dataset",
            )
        file = _source_file(own, source.file_name)
        if file is None:
            refuse(
                path, f"{name} takes numbers from {source.file_name}, which is not there", "copy it as well"
            )
        with h5py.File(file, "r") as opened:
            inner = opened.get(source.dset_name)
            if not isinstance(inner, h5py.Dataset):
                refuse(
                    path,
                    f"{name} takes numbers from {source.dset_name} in {source.file_name}, which has no such dataset",
                    "write it there",
                )
            points = source.vspace.get_select_npoints()
            if inner.size < points or not _holds(inner.shape, source.src_space):
                refuse(
                    path,
                    f"{name} takes {points} numbers from {source.dset_name} in {source.file_name}, whose shape "
                    f"{shown(inner.shape)} is too small",
                    "write the rest there",
                )
            files |= files_of(path, inner, depth + 1)
            holes_of(file, inner)
    if mapped < dataset.size:
        refuse(
            path,
            f"{dataset.size - mapped} of {dataset.size} numbers of {name} have no source",
            "map all of the virtual dataset",
        )
    return files


def _holds(shape: tuple[int, ...], selection: Any) -> bool:  # noqa: ANN401
    """Whether all that is selected lies within `shape`."""
    try:
        _, last = selection.get_select_bounds()
    except ValueError:  # all of it is selected
        return True
    return len(last) == len(shape) and all(at < axis for at, axis in zip(last, shape, strict=True))


def _source_file(own: Path, name: str) -> Path | None:
    """Where HDF5 finds a virtual dataset's source: beside the file, as it is named, or by its last name alone."""
    if name == ".":
        return own
    candidates = (own.parent / name, Path(name), own.parent / Path(name).name)
    return next((each for each in candidates if each.is_file()), None)
