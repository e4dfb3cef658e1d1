"""What every result of the bench commands begins with, and what all of them can do."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast, get_args

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.artifacts.provenance import Provenance


class BenchResult(FrozenModel):
    """The head of a result. Each kind narrows the first two fields to its own constants.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
    """

    kind: str
    format_version: int
    provenance: Provenance

    @abstractmethod
    def text(self) -> str:
        """The result for a person."""

    @property
    def machine_and_date(self) -> str:
        """Where and when it was measured, in one line."""
        return f"{self.provenance.machine}, {self.provenance.date}"

    def to_json(self) -> str:
        """The result as JSON text, indented, without a final newline."""
        return self.model_dump_json(indent=2)


def version_of(model: type[FrozenModel]) -> int:
    """The format version of a kind of result."""
    return cast("int", get_args(model.model_fields["format_version"].annotation)[0])
