"""Result files of the bench commands, read again; and what each kind of them looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.accuracy.report import AccuracyReport
from dashdeploy.bench.common.result import version_of
from dashdeploy.bench.engines.report import EnginesReport
from dashdeploy.bench.gpu_check.report import GpuCheckReport
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.layers.report import LayersReport
from dashdeploy.bench.loadgen.report import LoadGenReport
from dashdeploy.bench.search_cost.report import SearchCostReport
from dashdeploy.bench.serve.report import ServeReport
from dashdeploy.bench.show.comparison import Comparison, Result
from dashdeploy.errors import InputError

KINDS: Mapping[str, type[Result]] = {
    "latency": LatencyReport,
    "layers": LayersReport,
    "engines": EnginesReport,
    "search-cost": SearchCostReport,
    "loadgen": LoadGenReport,
    "accuracy": AccuracyReport,
    "serve": ServeReport,
    "gpu-check": GpuCheckReport,
}
"""The kinds of result, each with its own format and version; `bench networks` writes ``latency``."""

SCHEMAS: Mapping[str, type[FrozenModel]] = {**KINDS, "comparison": Comparison}
"""Everything that the bench commands print as JSON."""


class NoResultFileError(InputError):
    """A file of results does not exist.

    Args:
        path: where.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: no such file")
        self.path = path


def load_result(path: Path) -> Result:
    """Read a result that was written as JSON.

    Raises:
        NoResultFileError: the file does not exist.
        InputError: the file is not a result, or is of another version.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_number, parse_float=_number)
    except FileNotFoundError as error:
        raise NoResultFileError(path) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a result of bench: {error}; measure again") from error
    kind = str(content.get("kind")) if isinstance(content, dict) else "none"
    if kind not in KINDS:
        raise InputError(
            f"{path}: {kind!r} is not a kind of result that can be shown; choose a file of bench {', '.join(KINDS)}"
        )
    model = KINDS[kind]
    known, found = version_of(model), content.get("format_version")
    if found != known:
        raise InputError(
            f"{path}: format version {found!r}, but this dashdeploy reads {known}; measure again, or use the "
            "dashdeploy that wrote it"
        )
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; measure again") from error


def _number(words: str) -> float:
    value = float(words)
    if not isfinite(value):
        raise ValueError(f"{words} is not a figure")
    return value


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of one of `SCHEMAS`."""
    schema = SCHEMAS[kind].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
