"""Two result files of the same command beside each other: whether what they say of speed agrees.

Milliseconds change with the machine's clock from one run to the next; ratios of what took turns should not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from dashdeploy.artifacts.json_files import FrozenModel
from dashdeploy.bench.accuracy.report import AccuracyReport
from dashdeploy.bench.engines.report import EnginesReport
from dashdeploy.bench.gpu_check.report import GpuCheckReport
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.layers.report import LayersReport
from dashdeploy.bench.loadgen.report import LoadGenReport
from dashdeploy.bench.search_cost.report import SearchCostReport, label
from dashdeploy.bench.serve.report import ServeReport
from dashdeploy.errors import InputError
from dashdeploy.report.text_table import table

Result = (
    LatencyReport
    | LayersReport
    | SearchCostReport
    | LoadGenReport
    | AccuracyReport
    | ServeReport
    | EnginesReport
    | GpuCheckReport
)

WITHIN = 0.05
"""How far two measurements of one ratio may be apart and still agree, as a share."""


class RatioPair(FrozenModel):
    """One ratio that both results hold.

    Attributes:
        of: what it is of.
        first: in the first result.
        second: in the second.
        difference: how far the second is from the first, as a share of it.
    """

    of: str
    first: float
    second: float
    difference: float


class Comparison(FrozenModel):
    """The ratios of two results.

    Attributes:
        kind: tells this from other JSON.
        format_version: this format's version.
        within: the difference up to which two ratios agree.
        agree: whether all do.
        ratios: those that both results hold.
        missing: those that only one holds.
        warnings: what the results say of their machine's noise.
    """

    kind: Literal["comparison"] = "comparison"
    format_version: Literal[1] = 1
    within: float
    agree: bool
    ratios: tuple[RatioPair, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    def text(self) -> str:
        """The comparison for a person."""
        rows = [
            [each.of, f"{each.first:.3f}", f"{each.second:.3f}", f"{each.difference:+.1%}"]
            for each in self.ratios
        ]
        worst = max(self.ratios, key=lambda each: abs(each.difference))
        beyond = sum(abs(each.difference) > self.within for each in self.ratios)
        verdict = (
            f"all {len(rows)} ratios agree within {self.within:.0%}"
            if self.agree
            else f"{beyond} of {len(rows)} ratios differ by more than {self.within:.0%}"
        )
        parts = [
            table(["ratio", "first", "second", "difference"], rows),
            f"{verdict}; the largest difference is {worst.difference:+.1%}, {worst.of}",
            *([f"only in one of them: {'; '.join(self.missing)}"] if self.missing else []),
            *self.warnings,
        ]
        return "\n\n".join(parts)


def compare(first: Result, second: Result, *, within: float = WITHIN) -> Comparison:
    """Compare the ratios of two results.

    Args:
        first: a result of `bench latency`, `networks`, `layers` or `search-cost`.
        second: another of the same kind.
        within: the difference up to which two ratios agree, as a share.

    Raises:
        InputError: they are of different kinds, hold no ratios, or have none in common.
    """
    if first.kind != second.kind:
        raise InputError(f"a {first.kind} and a {second.kind} result: compare two of one kind")
    one, other = ratios_of(first), ratios_of(second)
    pairs = tuple(
        RatioPair(of=name, first=ratio, second=other[name], difference=other[name] / ratio - 1)
        for name, ratio in one.items()
        if name in other
    )
    if not pairs:
        raise InputError("the two results have no ratio in common; measure the same with both")
    warnings = [each.noise_warning() for each in (first, second) if isinstance(each, LatencyReport)]
    return Comparison(
        within=within,
        agree=all(abs(each.difference) <= within for each in pairs),
        ratios=pairs,
        missing=tuple(name for name in {**one, **other} if (name in one) != (name in other)),
        warnings=tuple(warning for warning in warnings if warning),
    )


def ratios_of(result: Result) -> Mapping[str, float]:
    """The ratios of what took turns, by what they are of.

    Raises:
        InputError: such a result holds none.
    """
    if isinstance(result, LatencyReport):
        return {
            f"{each.bundle}, {each.engine}, {each.threads} thread(s), batch {each.batch}: "
            f"{each.over} / compiled": each.median
            for each in result.speedups
        }
    if isinstance(result, EnginesReport):
        return {f"{each.model}, {each.engine}: {each.of}": each.median for each in result.ratios}
    if isinstance(result, LayersReport):
        return {f"{each.spec}: direct / chosen": each.speedup for each in result.results}
    if isinstance(result, SearchCostReport):
        return {
            f"{label(point.problem)}: {cost.method} / mixed-results": cost.over_mixed_results
            for point in result.points
            for cost in point.costs
            if cost.over_mixed_results is not None and cost.method != "mixed-results"
        }
    raise InputError(
        f"a {result.kind} result holds no ratios; compare two of bench latency, networks, engines, layers or "
        "search-cost"
    )
