"""Where an option has an effect: for which sources, with which other options, and without which.

`EFFECTS` is the one table of this. Before a command runs, every option that was written on its command line is looked
up there, and one without an effect is refused. An option that the table does not name always has one. Defaults and
environment variables are not a wish for this call: they are not looked up. A dry run takes the whole command line
that it is a rehearsal of, so it excludes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from dashdeploy.errors import InputError


class SourceKind(Enum):
    """What ``export`` is given."""

    RUN = "run"
    ONNX = "onnx"
    BUNDLE = "bundle"


RUN, ONNX, BUNDLE = SourceKind
EVERY = frozenset(SourceKind)
COMPILED = frozenset({RUN, ONNX})
"""What is compiled now; a bundle was compiled before."""


class DataKind(Enum):
    """What ``search`` learns from, with what it leaves no choice of; data of any other kind has all options."""

    BUILT_IN = "built-in tasks have a form of their own"
    FACTORY = "a function returns arrays, which have no columns, time stamps or image files"
    ARRAYS = "arrays have no columns, time stamps or image files"
    TS = ".ts files hold series and say which value is the target and where channels are"
    CSV = "the lines of a CSV file are series of one channel and one length"
    TABLE = "a table holds series of even steps, and its columns say where channels are"
    RECORDINGS = "recordings are series of even steps and say where channels are"
    IMAGES = "images say where channels are and are not series"


BUILT_IN, FACTORY, ARRAYS, TS, CSV, TABLE, RECORDINGS, IMAGES = DataKind
EVERY_DATA = frozenset(DataKind)


class Effect(NamedTuple):
    """When an option changes what is written or printed.

    Attributes:
        sources: for these alone.
        data: for these alone.
        needs: with at least one of these options, if any are named: ``trt``, or ``precision=int8`` for a value.
        excludes: with none of these options.
    """

    sources: frozenset[SourceKind] = EVERY
    data: frozenset[DataKind] = EVERY_DATA
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


_SERVER = ("loadgen=server",)

EFFECTS: Mapping[str, Mapping[str, Effect]] = {
    "export": {
        "out": Effect(),
        "name": Effect(),
        "input_shape": Effect(frozenset({ONNX})),
        "state": Effect(frozenset({ONNX, BUNDLE})),
        "dry_run": Effect(COMPILED),
        "target": Effect(COMPILED),
        "engines": Effect(COMPILED, needs=("target=auto",)),
        "device": Effect(COMPILED),
        "batch": Effect(COMPILED),
        "lowering": Effect(COMPILED),
        "tune": Effect(COMPILED),
        "threads": Effect(COMPILED),
        "memory": Effect(COMPILED),
        "ensemble": Effect(frozenset({RUN})),
        "precision": Effect(COMPILED),
        "samples": Effect(frozenset({ONNX})),
        "calibration": Effect(COMPILED, needs=("precision=int8",)),
        "max_accuracy_drop": Effect(frozenset({RUN}), needs=("precision=int8", "precision=fp16")),
        "torchscript": Effect(frozenset({RUN})),
        "pt2": Effect(frozenset({RUN})),
        "fixed_batch": Effect(),
        "trt_rtx": Effect(),
        "trt": Effect(),
        "compute_capabilities": Effect(needs=("trt_rtx",)),
        "engine_batches": Effect(needs=("trt", "trt_rtx", "triton_repository", "kserve")),
        "triton_repository": Effect(),
        "kserve": Effect(),
        "storage_uri": Effect(needs=("kserve",)),
        "web": Effect(),
    },
    "search": {
        "time_limit": Effect(excludes=("join",)),
        "resume": Effect(excludes=("join",)),
        "lengths": Effect(data=frozenset({FACTORY, ARRAYS, TS, TABLE, RECORDINGS})),
        "layout": Effect(data=frozenset({FACTORY, ARRAYS})),
        "target_column": Effect(data=frozenset({CSV, TABLE})),
        "timestamps": Effect(data=frozenset({TS})),
        "image_size": Effect(data=frozenset({IMAGES})),
    },
    "serve": {
        "batch_delay": Effect(excludes=("max_batch=1",)),
        "preferred_batches": Effect(excludes=("max_batch=1",)),
        "measure_batches": Effect(excludes=("max_batch=1",)),
    },
    "bench latency": {
        "memory": Effect(excludes=("loadgen", "device=cuda")),
        "device": Effect(needs=("engine",), excludes=("loadgen",)),
        "precisions": Effect(needs=("engine",), excludes=("loadgen",)),
        "profile": Effect(excludes=("loadgen",)),
        "batches": Effect(excludes=("loadgen=single-stream", "loadgen=server")),
        "engine": Effect(excludes=("url",)),
        "threads": Effect(excludes=("url",)),
        "qps": Effect(needs=_SERVER),
        "bound": Effect(needs=_SERVER),
    },
    "bench layers": {"batches": Effect(excludes=("rank=2",))},
    "bench networks": {
        option: Effect(excludes=("save",))
        for option in ("batches", "threads", "seconds", "target", "cpu_time", "report_file")
    },
}
"""By command and by the parameter's name."""


def kind_of(path: Path) -> SourceKind | None:
    """What ``export`` was given, as far as names say; None where nothing is there."""
    from dashdeploy.artifacts.bundle import MANIFEST_NAME

    if path.is_dir():
        return BUNDLE if (path / MANIFEST_NAME).is_file() else RUN
    return ONNX if path.exists() else None


_BY_SUFFIX = {
    ".ts": TS,
    ".npy": ARRAYS,
    ".npz": ARRAYS,
    ".h5": ARRAYS,
    ".hdf5": ARRAYS,
    ".csv": CSV,
    **dict.fromkeys((".parquet", ".arff", ".tsv", ".txt"), TABLE),
}


def kind_of_data(task: object, data: object) -> DataKind | None:
    """What ``search`` was given, as far as names say; None for anything else.

    Args:
        task: the value of ``--task``.
        data: the value of ``--data``.
    """
    from dashdeploy.references import is_reference

    if isinstance(task, str):
        return FACTORY if is_reference(task) else BUILT_IN
    if not isinstance(data, Path):
        return None
    if data.is_dir():
        suffixes = {each.suffix for each in data.iterdir()}
        known = next((_BY_SUFFIX[each] for each in (".ts", ".npy") if each in suffixes), None)
        return known or _kind_of_folder(data)
    return _BY_SUFFIX.get(data.suffix.lower())


def _kind_of_folder(folder: Path) -> DataKind | None:
    """What a folder of recordings or images holds; None if it is none."""
    from dashdeploy.data.readers.recordings.class_folders import media_in
    from dashdeploy.data.readers.recordings.wfdb_records import has_records

    if has_records(folder):
        return RECORDINGS
    return {"sounds": RECORDINGS, "images": IMAGES, None: None}[media_in(folder)]


def written_options(context: Any) -> list[str]:  # noqa: ANN401 - typer does not export click's types
    """The parameters of the options that stand on the command line, in the order of the help."""
    return [
        each.name
        for each in context.command.params
        if each.param_type_name == "option" and _is_written(context, each.name)
    ]


def _is_written(context: Any, name: str) -> bool:  # noqa: ANN401 - as above
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_without_effect(context: Any) -> None:  # noqa: ANN401 - as above
    """Refuse the first option on the command line that has no effect there.

    Raises:
        InputError: there is one; the message says why it has none, and what to do.
    """
    effects = EFFECTS.get(_name_of(context), {})
    written = [name for name in written_options(context) if name in effects]
    if not written:
        return
    path = context.params.get("source")
    # typer below 0.25 converts what click has read later than this.
    path = Path(path) if isinstance(path, str) else path
    kind = kind_of(path) if isinstance(path, Path) else None
    data = kind_of_data(context.params.get("task"), context.params.get("data"))
    for name in written:
        reason = why_none(name, effects[name], kind, context.params, path)
        if data is not None and data not in effects[name].data:
            reason = _of_other_data(name, data, context.params)
        if reason is not None:
            raise InputError(reason)


def _name_of(context: Any) -> str:  # noqa: ANN401 - as above
    """The command's name below the root, whose own depends on how the program was started: ``bench latency``."""
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return " ".join(words)


def why_none(
    name: str, effect: Effect, kind: SourceKind | None, values: Mapping[str, object], path: object = None
) -> str | None:
    """Why the option `name` has no effect and what to do, with parameters in backticks; None where it has one.

    Args:
        name: the option's parameter.
        effect: of the option.
        kind: what the command was given; None if it takes no source, or nothing is there.
        values: all options' values.
        path: what the command was given.
    """
    if kind is not None and kind not in effect.sources:
        return _of_another_source(name, kind, path)
    for excluded in effect.excludes:
        if _holds(excluded, values):
            return f"`{name}` has no effect with `{excluded}`; leave one of them out"
    if effect.needs and not any(_holds(needed, values) for needed in effect.needs):
        return f"`{name}` has no effect without {_alternatives(effect.needs)}; add that, or leave it out"
    return None


def _of_another_source(name: str, kind: SourceKind, path: object) -> str:
    if kind is BUNDLE:
        return f"`{name}` needs the run or the model that {path} came from: a bundle holds the compiled model alone"
    if kind is ONNX:
        return (
            f"`{name}` needs a run: {path} is an ONNX model and has no torch module and no validation samples"
        )
    own = {"samples": "brings its validation samples", "state": "has no states"}.get(
        name, "knows its input's shape"
    )
    return f"`{name}` is for ONNX files: a run {own}; leave it out"


def _of_other_data(name: str, kind: DataKind, values: Mapping[str, object]) -> str:
    given = next(each for each in ("task", "data") if values.get(each))
    return f"`{name}` has no effect with `{given}={values[given]}`: {kind.value}; leave it out"


def _holds(condition: str, values: Mapping[str, object]) -> bool:
    name, _, wanted = condition.partition("=")
    value = values.get(name)
    return str(value) == wanted if wanted else bool(value)


def _alternatives(conditions: tuple[str, ...]) -> str:
    *others, last = [f"`{condition}`" for condition in conditions]
    return f"{', '.join(others)} or {last}" if others else last
