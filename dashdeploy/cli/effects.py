"""Where an option has an effect: for which sources, with which other options, and without which.

`EFFECTS` is the one table of this. Before a command runs, every option that was written on its command line is looked
up there, and one without an effect is refused. An option that the table does not name always has one. Defaults and
environment variables are no one's wish for this call: they are not looked up. A dry run takes the whole command line
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


class Effect(NamedTuple):
    """When an option changes what is written or printed.

    Attributes:
        sources: for these alone.
        needs: with at least one of these options, if any are named: ``trt``, or ``precision=int8`` for a value.
        excludes: with none of these options.
    """

    sources: frozenset[SourceKind] = EVERY
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


_SERVER = ("loadgen=server",)

EFFECTS: Mapping[str, Mapping[str, Effect]] = {
    "export": {
        "out": Effect(),
        "name": Effect(),
        "input_shape": Effect(frozenset({ONNX})),
        "dry_run": Effect(COMPILED),
        "target": Effect(COMPILED),
        "device": Effect(COMPILED),
        "batch": Effect(COMPILED),
        "lowering": Effect(COMPILED),
        "tune": Effect(COMPILED),
        "threads": Effect(COMPILED),
        "precision": Effect(COMPILED),
        "calibration": Effect(COMPILED, ("precision=int8",)),
        "max_accuracy_drop": Effect(frozenset({RUN}), ("precision=int8", "precision=fp16")),
        "torchscript": Effect(frozenset({RUN})),
        "pt2": Effect(frozenset({RUN})),
        "trt_rtx": Effect(),
        "trt": Effect(),
        "compute_capabilities": Effect(EVERY, ("trt_rtx",)),
        "engine_batches": Effect(EVERY, ("trt", "trt_rtx", "triton_repository", "kserve")),
        "triton_repository": Effect(),
        "kserve": Effect(),
        "storage_uri": Effect(EVERY, ("kserve",)),
    },
    "search": {
        "max_time": Effect(excludes=("join",)),
        "resume": Effect(excludes=("join",)),
    },
    "serve": {
        "batch_delay": Effect(excludes=("max_batch=1",)),
        "preferred_batches": Effect(excludes=("max_batch=1",)),
        "measure_batches": Effect(excludes=("max_batch=1",)),
    },
    "bench latency": {
        "memory": Effect(excludes=("loadgen",)),
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
        for option in ("batches", "threads", "seconds", "target", "report_file")
    },
}
"""By command and by the parameter's name."""


def kind_of(path: Path) -> SourceKind | None:
    """What ``export`` was given, as far as names say; None where nothing is there."""
    from dashdeploy.artifacts.bundle import MANIFEST_NAME

    if path.is_dir():
        return BUNDLE if (path / MANIFEST_NAME).is_file() else RUN
    return ONNX if path.exists() else None


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
    kind = kind_of(path) if isinstance(path, Path) else None
    for name in written:
        reason = why_none(name, effects[name], kind, context.params, path)
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
    """Why the option `name` has no effect and how to mend that, with parameters in backticks; None where it has one.

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
    return f"`{name}` is for ONNX files: a run knows its input's shape; leave it out"


def _holds(condition: str, values: Mapping[str, object]) -> bool:
    name, _, wanted = condition.partition("=")
    value = values.get(name)
    return str(value) == wanted if wanted else bool(value)


def _alternatives(conditions: tuple[str, ...]) -> str:
    *others, last = [f"`{condition}`" for condition in conditions]
    return f"{', '.join(others)} or {last}" if others else last
