"""A finished run in memory, so that an estimator needs no folder: it can be copied, pickled and sent elsewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dashdeploy.backbones.run import Run


@dataclass(frozen=True)
class RunFiles:
    """The files of a run.

    Attributes:
        name: of the run's folder.
        contents: of every file, by its path within the run.
    """

    name: str
    contents: Mapping[str, bytes]

    @classmethod
    def of(cls, run: Run, name: str, *, without: str) -> RunFiles:
        """Read the files of `run`, but for `without` and what a resumed run would need."""
        paths = [path for path in sorted(run.path.rglob("*")) if path.is_file() and path.suffix != ".ckpt"]
        named = {path.relative_to(run.path).as_posix(): path for path in paths}
        return cls(name, {each: path.read_bytes() for each, path in named.items() if each != without})

    def write(self, folder: Path) -> None:
        """Write them into `folder`, which exists."""
        for name, content in self.contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @contextmanager
    def on_disk(self) -> Iterator[Run]:
        """The run in a temporary folder, which is gone after the block."""
        with tempfile.TemporaryDirectory(prefix="dashdeploy-") as parent:
            folder = Path(parent) / self.name
            folder.mkdir()
            self.write(folder)
            yield Run.load(folder)
