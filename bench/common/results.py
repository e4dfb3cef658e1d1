"""Result files of the bench commands: read again, whatever kind they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from dashdeploy.bench.accuracy.report import AccuracyReport
from dashdeploy.bench.common.comparison import Comparison, Result
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.layers.report import LayersReport
from dashdeploy.bench.loadgen.measure import LoadGenReport
from dashdeploy.bench.search_cost.report import SearchCostReport
from dashdeploy.bench.serve.report import ServeReport
from dashdeploy.errors import InputError

KINDS: Mapping[str, type[Result]] = {
    "latency": LatencyReport,
    "layers": LayersReport,
    "search-cost": SearchCostReport,
    "loadgen": LoadGenReport,
    "accuracy": AccuracyReport,
    "serve": ServeReport,
}
"""The kinds of result, each with its own format and version; `bench networks` writes ``latency``."""

SCHEMAS: Mapping[str, type[BaseModel]] = {**KINDS, "comparison": Comparison}
"""Everything that the bench commands print as JSON."""


def load_result(path: Path) -> Result:
    """Read what ``bench ... --json FILE`` wrote.

    Raises:
        InputError: the file is missing, is no result, or is of another version.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_number, parse_float=_number)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: no such file; write one with: dashdeploy bench latency BUNDLE --json {path}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a result of bench: {error}; measure again") from error
    kind = str(content.get("kind")) if isinstance(content, dict) else "none"
    if kind not in KINDS:
        raise InputError(
            f"{path}: {kind!r} is no kind of result that can be shown; choose a file of bench {', '.join(KINDS)}"
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
        raise ValueError(f"{words} is no figure")
    return value


def version_of(model: type[BaseModel]) -> int:
    """The format version of a kind of result."""
    return cast("int", get_args(model.model_fields["format_version"].annotation)[0])


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of one of `SCHEMAS`."""
    schema = SCHEMAS[kind].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def text_of(result: Result) -> str:
    """A result for a person."""
    if isinstance(result, LatencyReport | LayersReport):
        from dashdeploy.report.text_table import as_text

        profiles = result.profiles if isinstance(result, LatencyReport) else ()
        return "\n\n".join([as_text(result.table()), *(each.text() for each in profiles)])
    return result.text()
