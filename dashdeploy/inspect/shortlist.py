"""The short list of a run, as `inspect` and the report show it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashdeploy.artifacts.json_files import read_optional
from dashdeploy.artifacts.run import SHORTLIST_NAME

HEADERS = ["short list", "validation", "loss", "gain", "standard error"]


def read_shortlist(run: Path) -> dict[str, Any] | None:
    """What the run in the folder `run` wrote of its short list; None if it had none.

    Raises:
        InputError: the file was damaged.
    """
    return read_optional(run / SHORTLIST_NAME, shortlist_rows)


def shortlist_rows(content: Mapping[str, Any]) -> list[list[Any]]:
    """A row per candidate for `HEADERS`; the gain is that over the original kernels, in what the list goes by.

    The chosen kernels with series scaled by themselves, trained by branches, and narrower networks side by side with
    them, have the last rows; their gain is that over what was chosen before them.
    """
    candidates, scaled = content["candidates"], content.get("scaled")
    branches, towers = content.get("branches"), content.get("towers")
    named = [(_name(row, len(candidates)), row, row["candidate"] == content["chosen"]) for row in candidates]
    if scaled is not None:
        named.append(("the chosen with series scaled by themselves, gain over it", scaled, scaled["chosen"]))
    if branches is not None:
        named.append(("the chosen by branches, gain over it", branches, branches["chosen"]))
    if towers is not None:
        named.append((f"{towers['towers']} towers of the chosen, gain over it", towers, towers["chosen"]))
    return [
        [
            name + (", chosen" if chosen else ""),
            row["validation"],
            row["loss"],
            row.get("gain"),
            row.get("standard_error"),
        ]
        for name, row, chosen in named
    ]


def _name(row: Mapping[str, Any], count: int) -> str:
    kernels = [tuple(kernel) for kernel in row["kernels"]]
    if row["candidate"] == count - 1:
        return "the original kernels"
    if row["candidate"] == 0:
        return "what was found"
    if len(set(kernels)) == 1:
        return f"kernel {kernels[0][0]}, dilation {kernels[0][1]} everywhere"
    return f"candidate {row['candidate'] + 1}"
