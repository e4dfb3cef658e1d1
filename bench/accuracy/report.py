"""The result of `bench accuracy`: per seed, per task, and over tasks."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Literal, Self

from pydantic import Field, model_validator

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.artifacts.run import RunDirectory
from dashdeploy.bench.accuracy.published import PUBLISHED, TARGETS
from dashdeploy.bench.common.result import BenchResult
from dashdeploy.errors import InputError
from dashdeploy.report.text_table import table


class SeedResult(FrozenModel):
    """One run.

    Attributes:
        task: the task.
        seed: the seed.
        metric: what the figures are in.
        higher_is_better: whether a larger value is better.
        searched: test figure of the searched network.
        backbone: test figure of the backbone, trained for the same passes unless the options say otherwise.
        searched_validation: validation figure of the searched network; None if it has learned from that data and no
            short list judged it before.
        backbone_validation: the same of the backbone.
        seconds: of the whole run.
        kernels: kernel size and dilation per searched layer.
        towers: of how many networks side by side the searched one is made.
        searched_arguments: those of the backbone's factory that the searched network alone has, such as patches.
    """

    task: str
    seed: int
    metric: str
    higher_is_better: bool
    searched: float
    backbone: float
    searched_validation: float | None
    backbone_validation: float | None
    seconds: float
    kernels: tuple[tuple[int, int], ...]
    towers: int = 1
    searched_arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @classmethod
    def of(cls, seed: int, run: RunDirectory) -> Self:
        """What a finished run says.

        Raises:
            InputError: it was made without test data.
        """
        metrics = run.metrics
        if metrics["searched"]["test"] is None:
            raise InputError(f"{run.path} has no test figures; remove it, or choose another `out`")
        return cls(
            task=metrics["task"],
            seed=seed,
            metric=metrics["metric"],
            higher_is_better=bool(dict(run.config.get("metric") or {}).get("higher_is_better", True)),
            searched=metrics["searched"]["test"],
            backbone=metrics["backbone"]["test"],
            searched_validation=metrics["searched"]["validation"],
            backbone_validation=metrics["backbone"]["validation"],
            seconds=sum(metrics["seconds"].values()),
            kernels=tuple((layer.kernel_size, layer.dilation) for layer in run.architecture.layers),
            towers=run.architecture.towers.count if run.architecture.towers else 1,
            searched_arguments=run.architecture.searched_arguments,
        )


class Failure(FrozenModel):
    """A run that failed: its task, its seed, and the last line that it said."""

    task: str
    seed: int
    reason: str


HEADERS = (
    "task",
    "metric",
    "seeds",
    "DASH, test",
    "backbone, test",
    "difference",
    "minutes",
    "target",
    "published",
)
"""Of the columns of `AccuracyReport.rows`."""


class AccuracyReport(BenchResult):
    """Everything that was run.

    Attributes:
        kind: tells this file from other results.
        format_version: this format's version.
        provenance: machine, date, command, versions.
        options: of every search.
        results: one per task and seed.
        failures: what did not end.
    """

    kind: Literal["accuracy"] = "accuracy"
    format_version: Literal[1] = 1
    options: str
    results: tuple[SeedResult, ...]
    failures: tuple[Failure, ...]

    @model_validator(mode="before")
    @classmethod
    def _without_headers(cls, data: object) -> object:
        """Older files also hold the headers of the table."""
        return (
            {key: value for key, value in data.items() if key != "HEADERS"}
            if isinstance(data, dict)
            else data
        )

    def by_task(self) -> dict[str, list[SeedResult]]:
        """The results by task."""
        found: dict[str, list[SeedResult]] = {}
        for result in self.results:
            found.setdefault(result.task, []).append(result)
        return found

    def rows(self) -> list[list[object]]:
        """Per task what `HEADERS` says; minutes are those of one run."""
        return [
            [
                task,
                results[0].metric,
                len(results),
                spread([each.searched for each in results]),
                spread([each.backbone for each in results]),
                f"{fmean([each.searched - each.backbone for each in results]):+.4f}",
                f"{fmean([each.seconds for each in results]) / 60:.1f}",
                TARGETS.get(task),
                "; ".join(f"{each.method} {each.value:g}" for each in PUBLISHED.get(task, ())),
            ]
            for task, results in self.by_task().items()
        ]

    def text(self) -> str:
        """The report for a person."""
        parts = [table(list(HEADERS), self.rows())] if self.results else ["no run has finished"]
        means = self.means()
        if means is not None:
            parts.append(
                f"mean over tasks with accuracy: DASH {means[0]:.4f}, backbone {means[1]:.4f}; each seed looked at "
                "the test data once"
            )
        parts += [f"{each.task}, seed {each.seed} failed: {each.reason}" for each in self.failures]
        sources = {
            f"{each.method} on {task}: {each.source}"
            for task in self.by_task()
            for each in PUBLISHED.get(task, ())
        }
        parts.append("\n".join(["published figures:", *sorted(sources)]) if sources else "")
        parts.append(self.machine_and_date)
        return "\n\n".join(part for part in parts if part)

    def means(self) -> tuple[float, float] | None:
        """The mean over tasks of both networks' means, of the tasks that are measured by accuracy."""
        tasks = [results for results in self.by_task().values() if results[0].metric == "accuracy"]
        if not tasks:
            return None
        searched = fmean(fmean([each.searched for each in results]) for results in tasks)
        return searched, fmean(fmean([each.backbone for each in results]) for results in tasks)


def spread(values: list[float]) -> str:
    """Mean and, of several, standard deviation."""
    return f"{fmean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")
