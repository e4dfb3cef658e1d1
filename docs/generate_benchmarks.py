"""Write the tables of docs/benchmarks.md from docs/results/*.json, or check them with --check.

Each kind of result has a part of the page between two comments, which is written anew; everything else on the page
is prose and stays. A kind without its comments is appended at the end. Results of `bench networks` are of the kind
latency, too: those in files called networks-*.json and native-*.json have parts of their own.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from shlex import split
from shutil import which
from typing import Any

from dashdeploy.artifacts.provenance import Provenance
from dashdeploy.bench.accuracy.published import PUBLISHED
from dashdeploy.bench.accuracy.report import HEADERS, AccuracyReport
from dashdeploy.bench.engines.report import EnginesReport
from dashdeploy.bench.latency.report import LatencyReport
from dashdeploy.bench.latency.rows import LatencyRow
from dashdeploy.bench.layers.report import SLOWER, LayersReport, geometric_mean
from dashdeploy.bench.loadgen.report import LoadGenReport
from dashdeploy.bench.search_cost.report import SearchCostReport, label
from dashdeploy.bench.serve.report import OVERHEAD_HEADERS, THROUGHPUT_HEADERS, ServeReport
from dashdeploy.bench.show.comparison import Result
from dashdeploy.bench.show.results import load_result

FOLDER = Path(__file__).parent
PAGE, RESULTS = FOLDER / "benchmarks.md", FOLDER / "results"

WANTED = {"resnet1d": 2.5, "tcn": 1.6, "inceptiontime": 1.6, "wrn-16-4": 1.5, "convnext": 1.0}
"""Direct over compiled, at batch 1 on one thread; in the order of the list."""


WANTED_IN_ENGINES = {
    "ort-cpu": ("2.5", "1.0"),
    "ort-web": ("4.5", "0.60"),
    "openvino": ("2.5", "1.0"),
    "openvino-bf16": ("1.6", None),
    "iree": ("40", None),
    "litert": ("2.4", None),
    "aoti": ("2.0", None),
}
"""Of resnet1d, batch 1, one thread, AVX-512: direct / compiled at least, compiled / backbone at most."""


def main() -> int:
    """Write or check."""
    before = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Benchmarks\n"
    after = before
    by_kind: dict[str, list[Result]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        result = load_result(path)
        part = next((name for name in ("networks", "native") if path.stem.startswith(name)), result.kind)
        by_kind.setdefault(part, []).append(result)
        for doubt in doubts(result.provenance):
            print(f"{path.relative_to(FOLDER.parent)}: {doubt}", file=sys.stderr)
    for kind, (heading, render) in SECTIONS.items():
        if kind in by_kind:
            after = with_part(after, kind, heading, render(by_kind[kind]))
    if "--check" in sys.argv[1:]:
        if after != before:
            print(
                "docs/benchmarks.md is out of date; run: python docs/generate_benchmarks.py", file=sys.stderr
            )
        return after != before
    PAGE.write_text(after, encoding="utf-8")
    return 0


def with_part(page: str, kind: str, heading: str, part: str) -> str:
    """The page with the part of `kind` exchanged or appended."""
    start, end = f"<!-- generated: {kind} -->", "<!-- end -->"
    head, found, rest = page.partition(start)
    if not found:
        head, rest = f"{page.rstrip()}\n\n## {heading}\n\n", f"{end}\n"
    _, _, tail = rest.partition(end)
    return f"{head}{start}\n\n{part.strip()}\n\n{end}{tail}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell(value) for value in line) + " |" for line in lines)


def cell(value: object) -> str:
    """One cell's text."""
    if value is None:
        return "–"
    return (f"{value:.4g}" if isinstance(value, float) else str(value)).replace("|", "\\|")


def origin(made: Provenance, what: str = "") -> str:
    """Where rows come from."""
    commit = f", commit {made.commit}" if made.commit else ""
    return f"- {what}`{made.command}`: {made.machine}, {made.date[:10]}{commit}"


def doubts(made: Provenance) -> list[str]:
    """Why a reader could not repeat a result."""
    found = [
        f"{word} in its command is a place on one machine; run it with relative paths"
        for word in split(made.command)
        if PurePath(word).is_absolute()
    ]
    if made.commit is not None and which("git"):
        asked = ["git", "-C", str(FOLDER), "merge-base", "--is-ancestor", made.commit.rstrip("+"), "HEAD"]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            found.append(f"the history lacks commit {made.commit}; measure again, or take the commit out")
        if made.commit.endswith("+"):
            found.append("measured with changes that no commit holds; commit first, then measure")
    return found


def on_each_machine(render: Callable[[Sequence[Any]], str]) -> Callable[[Sequence[Any]], str]:
    """What `render` says of the results of one machine, for every machine, under its name."""

    def rendered(results: Sequence[Any]) -> str:
        by_machine: dict[str, list[Any]] = {}
        for each in results:
            by_machine.setdefault(each.provenance.machine, []).append(each)
        return "\n\n".join(f"**{machine}**\n\n{render(own)}" for machine, own in sorted(by_machine.items()))

    return rendered


def search_cost(results: Sequence[SearchCostReport]) -> str:
    """Milliseconds per step, and memory."""
    methods = list(dict.fromkeys(method for each in results for method in each.methods))
    points = [point for each in results for point in each.points]
    order = {"c": 0, "n": 1}
    points.sort(key=lambda point: (order.get(point.problem.line, 2), point.problem.x))
    rows, memory = [], []
    for point in points:
        costs = [point.cost(method) for method in methods]
        auto = point.cost("auto")
        over = auto.over_mixed_results if auto else None
        rows.append(
            [
                label(point.problem),
                *(None if each is None else f"{each.p50_ms:.1f}" for each in costs),
                None if over is None else f"{over:.3f}",
                None if point.auto is None else f"{point.auto.median:.2f} ({point.auto.best})",
                ", ".join(f"{name} {count}" for name, count in sorted(point.choices.items())),
            ]
        )
        if any(each is not None and each.peak_mib is not None for each in costs):
            peaks = [
                None if each is None or each.peak_mib is None else f"{each.peak_mib:.0f}" for each in costs
            ]
            memory.append([label(point.problem), *peaks])
    headers = [
        "ms per step",
        *methods,
        "auto / mixed-results",
        "auto / best other",
        "layers that auto computes by",
    ]
    parts = [markdown(headers, rows)]
    if memory:
        parts += ["Peak resident memory in MiB, of a process for each:", markdown(["", *methods], memory)]
    parts.append("\n".join(origin(each.provenance, f"{each.threads} thread(s), ") for each in results))
    return "\n\n".join(parts)


def latency(results: Sequence[LatencyReport]) -> str:
    """Percentiles per variant and engine."""
    parts = []
    for each in results:
        rows = [
            [
                row.bundle,
                row.variant,
                row.engine,
                row.threads,
                row.batch,
                *(f"{value:.3f}" for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
                f"{row.items_per_second:.0f}",
                None if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.2f}",
                None if row.peak_share is None else f"{row.peak_share:.0%}",
                None if row.peak_mib is None else f"{row.peak_mib:.0f}",
                each.comparison(row),
            ]
            for row in each.rows
        ]
        headers = ["bundle", "variant", "engine", "threads", "batch", "p50 ms", "p90 ms", "p99 ms", "items/s"]
        headers += ["M multiply-adds", "of peak", "peak MiB", "compiled is"]
        parts += [
            markdown(headers, rows),
            each.noise_warning() or "The machine was quiet.",
            origin(each.provenance),
        ]
    return "\n\n".join(parts)


def networks(results: Sequence[LatencyReport]) -> str:
    """Per network and engine the medians of its variants, and how many times as fast the compiled one is.

    Of several measurements of one row the newest counts.
    """
    newest: dict[tuple[object, ...], tuple[LatencyReport, list[object]]] = {}
    for each in sorted(results, key=lambda result: result.provenance.date):
        for rounds in each.noise:
            timed = [row for row in each.rows if rounds.timed(row)]
            for compiled in (row for row in timed if row.variant == "compiled"):
                here = (compiled.bundle, compiled.engine)
                beside = {row.variant: row for row in timed if (row.bundle, row.engine) == here}
                ratios = {name: ratio_of(each, beside.get(name)) for name in ("direct", "backbone")}
                wanted = (rounds.batch, rounds.threads, compiled.engine) == (1, 1, "ort-cpu")
                key = (*here, rounds.batch, rounds.threads)
                medians = (
                    f"{beside[name].p50_ms:.2f}" if name in beside else None
                    for name in ("backbone", "direct", "compiled")
                )
                compared = (
                    ratios["direct"],
                    WANTED.get(compiled.bundle) if wanted else None,
                    ratios["backbone"],
                )
                alone = len(beside) == 1
                noise = None if alone else f"{rounds.median:.3f} ({rounds.low:.3f} to {rounds.high:.3f})"
                newest[key] = each, [*key, *medians, *compared, noise]
    order = list(WANTED)
    rows = [row for _, row in newest.values()]
    rows.sort(key=lambda row: order.index(row[0]) if row[0] in order else -1)
    headers = ["network", "engine", "batch", "threads", "backbone ms", "direct ms", "compiled ms"]
    headers += ["direct / compiled", "wanted", "backbone / compiled", "a variant against itself"]
    origins = dict.fromkeys(origin(each.provenance) for each, _ in newest.values())
    return "\n\n".join([markdown(headers, rows), "\n".join(origins)])


def ratio_of(result: LatencyReport, row: LatencyRow | None) -> str | None:
    """The ratio of a variant to the compiled one, with its interval."""
    ratio = None if row is None else result.speedup_of(row)
    return None if ratio is None else f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def engines(results: Sequence[EnginesReport]) -> str:
    """Per model and engine the medians of its variants, the ratios with what was wanted, errors, sizes and memory."""
    parts = []
    for each in results:
        for model in each.models:
            beside: dict[str, dict[str, Any]] = {}
            for row in each.rows:
                if row.model == model:
                    beside.setdefault(row.engine, {})[row.variant] = row
            rows = []
            for engine, variants in beside.items():
                wanted = (
                    WANTED_IN_ENGINES.get(engine)
                    if (model, each.batch, each.threads) == ("resnet1d", 1, 1)
                    else None
                )
                compiled = variants.get("compiled")
                ratios = [
                    each.ratio(model, engine, of) for of in ("direct / compiled", "compiled / backbone")
                ]
                shown = [
                    None if one is None else f"{one.median:.2f} ({one.low:.2f} to {one.high:.2f})"
                    for one in ratios
                ]
                rows.append(
                    [
                        engine,
                        *(
                            f"{variants[name].p50_ms:.2f}" if name in variants else None
                            for name in ("backbone", "direct", "compiled")
                        ),
                        *(cell for pair in zip(shown, wanted or (None, None), strict=True) for cell in pair),
                        None if compiled is None else f"{compiled.error:.1e}",
                        None if compiled is None else f"{compiled.file_mib:.1f}",
                        f"{each.runtime_mib[engine]:.0f}" if engine in each.runtime_mib else None,
                        None if compiled is None or compiled.peak_mib is None else f"{compiled.peak_mib:.0f}",
                    ]
                )
            headers = ["engine", "backbone ms", "direct ms", "compiled ms", "direct / compiled", "at least"]
            headers += ["compiled / backbone", "at most", "error", "file MiB", "runtime MiB", "peak MiB"]
            parts += [f"{model}, batch {each.batch}, {each.threads} thread(s):", markdown(headers, rows)]
        parts += ["\n".join(f"- {line}" for line in each.notes()), origin(each.provenance)]
    return "\n\n".join(parts)


WANTED_OF_NATIVE = {
    "avx512": {"resnet1d": 4.0, "tcn": 2.5, "inceptiontime": 2.5, "wrn-16-4": 3.0, "convnext": 1.0},
    "avx2": {"resnet1d": 3.0},
}
"""Direct over native at batch 1, by instruction set."""

WANTED_OF_BATCHES = 3.5
"""Direct over native, of ResNet1D with AVX-512 and batches of more than one."""


def native(results: Sequence[LatencyReport]) -> str:
    """Networks in the native kernels; one without a native model in what its bundle runs."""
    rows = []
    for each in results:
        instructions = next(
            (
                words.partition("(")[2].partition(")")[0]
                for words in each.engines.values()
                if "native" in words
            ),
            "",
        )
        for compiled in (row for row in each.rows if row.variant == "compiled"):
            alike = [
                row
                for row in each.rows
                if (row.bundle, row.engine, row.batch) == (compiled.bundle, compiled.engine, compiled.batch)
            ]
            beside = {row.variant: row for row in alike}
            wanted = WANTED_OF_NATIVE.get(instructions, {}).get(compiled.bundle)
            if compiled.batch > 1:
                wanted = WANTED_OF_BATCHES if instructions == "avx512" else None
            backbone = beside.get("backbone")
            over = None if backbone is None else each.speedup_of(backbone)
            rows.append(
                [
                    compiled.bundle,
                    instructions if compiled.engine == "native" else f"none, {compiled.engine}",
                    compiled.batch,
                    *(
                        f"{beside[name].p50_ms:.2f}" if name in beside else None
                        for name in ("backbone", "direct")
                    ),
                    f"{compiled.p50_ms:.2f}",
                    ratio_of(each, beside.get("direct")),
                    wanted,
                    None if over is None else f"{1 / over.median:.2f}",
                ]
            )
    headers = ["network", "instructions", "batch", "backbone ms", "direct ms", "native ms"]
    headers += ["direct / native", "wanted", "native / backbone"]
    return "\n\n".join([markdown(headers, rows), "\n".join(origin(each.provenance) for each in results)])


def layers(results: Sequence[LayersReport]) -> str:
    """The geometric mean of every subset and rank."""
    subsets, ranks = {}, {}
    for each in results:
        for name, found in each.subsets().items():
            subsets.setdefault(name, []).extend(found)
            ranks.setdefault(f"all, {name[:3]}", []).extend(found)
    rows = [
        [
            name,
            len(found),
            f"{geometric_mean(found):.2f}",
            f"{min(found, key=lambda one: one.speedup).speedup:.2f}",
            sum(one.speedup < SLOWER for one in found),
        ]
        for name, found in {**subsets, **ranks}.items()
    ]
    headers = ["subset", "layers", "direct / chosen, geometric mean", "the least", "slower by more than 3 %"]
    told = [origin(each.provenance, f"{each.device}, {each.seconds:g} s a layer, ") for each in results]
    return "\n\n".join([markdown(headers, rows), "\n".join(told)])


def serve(results: Sequence[ServeReport]) -> str:
    """What one request costs, and how many a second are answered."""
    parts = []
    for each in results:
        parts += [
            markdown(OVERHEAD_HEADERS, [row.cells() for row in each.overhead]),
            markdown(THROUGHPUT_HEADERS, [row.cells() for row in each.throughput]),
            *([] if (beside := each.beside_peer()) is None else [f"{beside}."]),
            origin(each.provenance, f"{each.engine}, {each.seconds:g} s a part, "),
        ]
    return "\n\n".join(parts)


def loadgen(results: Sequence[LoadGenReport]) -> str:
    """Verdicts and figures."""
    rows = []
    for each in results:
        figures = {name.lower(): value for name, value in each.figures.items()}
        times = [figures.get(f"{at}.00 percentile latency (ns)") for at in (50, 99)]
        told = ", ".join(f"{name} {value:.4g}" for name, value in each.settings.items())
        rows.append(
            [
                each.scenario,
                each.answered_by,
                "VALID" if each.valid else "INVALID",
                *(None if value is None else f"{value / 1e6:.3f}" for value in times),
                told,
            ]
        )
    headers = ["scenario", "answered by", "verdict", "p50 ms", "p99 ms", "told"]
    return "\n\n".join([markdown(headers, rows), "\n".join(origin(each.provenance) for each in results)])


def accuracy(results: Sequence[AccuracyReport]) -> str:
    """Per task, with what is published."""
    parts = []
    for each in results:
        parts.append(markdown(HEADERS, each.rows()))
        parts += [f"{one.task}, seed {one.seed} failed: {one.reason}" for one in each.failures]
        figures = [(task, one) for task in each.by_task() for one in PUBLISHED.get(task, ())]
        sources = sorted({f"{task}: {one.method}, {one.source}" for task, one in figures})
        parts += ["Published: " + "; ".join(sources) + ".", origin(each.provenance)]
    return "\n\n".join(parts)


SECTIONS: dict[str, tuple[str, Callable[[Sequence], str]]] = {
    "latency": ("Latency of the demo", latency),
    "layers": ("Layers, measured", on_each_machine(layers)),
    "networks": ("Networks, measured", on_each_machine(networks)),
    "engines": ("Every engine, measured", on_each_machine(engines)),
    "native": ("Native kernels", native),
    "serve": ("Serving, measured", serve),
    "search-cost": ("A step of the search", on_each_machine(search_cost)),
    "accuracy": ("Accuracy", accuracy),
    "loadgen": ("MLPerf LoadGen", loadgen),
}
"""Per kind the heading of its part, and what renders it."""


if __name__ == "__main__":
    sys.exit(main())
