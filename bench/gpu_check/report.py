"""The result of `make gpu-check`: as JSON for machines, as Markdown for people."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.common.result import BenchResult

Figure = float | int | str | None
Status = Literal["passed", "failed", "skipped", "cut short"]


class Row(FrozenModel):
    """One thing that a section has done, or why it has not.

    Attributes:
        what: it.
        figures: by name, with units in the names.
        passed: whether it is as it has to be; None where nothing has to be.
        reason: why it was left out, or is wrong.
    """

    what: str
    figures: dict[str, Figure] = Field(default_factory=dict)
    passed: bool | None = None
    reason: str | None = None


class Section(FrozenModel):
    """One section.

    Attributes:
        name: of `measure.SECTIONS`.
        about: what it does, in a line.
        status: ``failed`` if one row is wrong or it broke off, ``skipped`` if every row says why it
            was left out, ``cut short`` if its time ran out.
        reason: why it failed, was skipped or was cut short.
        seconds: that it took.
        budget_seconds: that it had.
        rows: what it has done.
    """

    name: str
    about: str
    status: Status
    reason: str | None
    seconds: float
    budget_seconds: float
    rows: tuple[Row, ...]


class GpuCheckReport(BenchResult):
    """The whole check.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        device: ``cuda``, or ``cpu`` for a rehearsal, which says nothing about a GPU.
        description: the GPU, its driver and libraries; None for a rehearsal.
        quick: whether the sizes were the smallest, and the figures are not measurements.
        seconds: that all of it took.
        sections: in their order.
    """

    kind: Literal["gpu-check"] = "gpu-check"
    format_version: Literal[1] = 1
    device: Literal["cpu", "cuda"]
    description: str | None
    quick: bool
    seconds: float
    sections: tuple[Section, ...]

    @property
    def failed(self) -> list[str]:
        """The names of the sections that failed."""
        return [section.name for section in self.sections if section.status == "failed"]

    def text(self) -> str:
        """The report in Markdown."""
        what = self.description or "a rehearsal on the CPU, which says nothing about a GPU"
        made = self.provenance
        versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
        parts = [
            f"# GPU check: {what}",
            f"{self.machine_and_date}; {versions}; commit {made.commit or 'unknown'}; `{made.command}`; "
            f"{self.seconds:.0f} s" + ("; smallest sizes, no measurement" if self.quick else ""),
            *([self._clocks()] if made.gpus else []),
            _table(
                ["section", "status", "seconds", "why"],
                [[each.name, each.status, f"{each.seconds:.0f}", each.reason] for each in self.sections],
            ),
        ]
        for section in self.sections:
            parts.append(f"## {section.name}\n\n{section.about}")
            if section.rows:
                parts.append(_rows_table(section.rows))
        return "\n\n".join(parts)

    def _clocks(self) -> str:
        """Driver and clocks of every GPU when the check was over."""
        rows = [[str(value) for value in state.model_dump().values()] for state in self.provenance.gpus]
        return _table([*type(self.provenance.gpus[0]).model_fields], [[*row] for row in rows])


def _rows_table(rows: tuple[Row, ...]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    judged = any(row.passed is not None for row in rows)
    noted = any(row.reason for row in rows)
    headers = ["what", *names, *(["as it has to be"] if judged else []), *(["note"] if noted else [])]
    verdicts = {True: "yes", False: "no", None: None}
    return _table(
        headers,
        [
            [row.what]
            + [_short(row.figures.get(name)) for name in names]
            + ([verdicts[row.passed]] if judged else [])
            + ([row.reason] if noted else [])
            for row in rows
        ],
    )


def _short(figure: Figure) -> str | None:
    return f"{figure:.4g}" if isinstance(figure, float) else None if figure is None else str(figure)


def _table(headers: list[str], rows: list[list[str | None]]) -> str:
    def line(cells: list[str | None]) -> str:
        return "| " + " | ".join((cell or "").replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line([*headers]), "|" + "---|" * len(headers), *map(line, rows)])
