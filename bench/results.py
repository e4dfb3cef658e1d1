"""Result files of the bench commands: read again, whatever kind they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from dashdeploy.bench.accuracy_report import AccuracyReport
from dashdeploy.bench.latency_report import LatencyReport
from dashdeploy.bench.loadgen import LoadGenReport
from dashdeploy.bench.search_cost_report import SearchCostReport
from dashdeploy.errors import InputError

Result = LatencyReport | SearchCostReport | LoadGenReport | AccuracyReport

KINDS: Mapping[str, type[Result]] = {
    "latency": LatencyReport,
    "search-cost": SearchCostReport,
    "loadgen": LoadGenReport,
    "accuracy": AccuracyReport,
}
"""The kinds of result that carry their kind and format version."""


def load_result(path: Path) -> Result:
    """Read what ``bench ... --json FILE`` wrote.

    Raises:
        InputError: the file is missing, is no result, or is of another version.
    """
    try:
        content = json.loads(path.read_bytes())
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


def version_of(model: type[BaseModel]) -> int:
    """The format version of a kind of result."""
    return cast("int", get_args(model.model_fields["format_version"].annotation)[0])


def schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of result."""
    schema = KINDS[kind].model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def text_of(result: Result) -> str:
    """A result for a person."""
    if isinstance(result, LatencyReport):
        from dashdeploy.console import as_text

        return as_text(result.table())
    return result.text()
