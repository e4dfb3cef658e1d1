"""All four stages on real series, the blood pressure of 52 pigs: search, export, bench and serve, and one table.

``make demo`` runs it. It writes everything to ./demo, anew each time, and continues a search that was interrupted.
It exits with 0 only if the server's outputs equal the PyTorch model's.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy import Bundle, Run, load_task

FOLDER = Path("demo")
RUN, BUNDLE, LATENCY = FOLDER / "run", FOLDER / "bundle", FOLDER / "latency.json"
TASK = "pigcvp"
"""104 series of 2000 points to learn from, two of each pig: long enough for large, dilated kernels and FFTs."""
SEARCH = (
    "--kernel-sizes 5,9 --dilations 1,3,15 --width 16 --set shortlist=2 --set shortlist_parts=1 "
    "--set search_steps=150 --set shortlist_steps=250 --set retrain_steps=450 --set searched_arguments={}"
)
"""Less than the preset takes: a demo may miss some points, but not take a quarter of an hour. The network is of the
backbone's size, so that what is shown is what kernels and their compilation bring."""
SAMPLES = 100
TOLERANCE = 1e-5
"""Of the served outputs, as a share of the largest one; float32 keeps 6e-8, and errors add up."""

Array = npt.NDArray[np.float32]


def main() -> int:
    """Run the stages and print the report."""
    started = time.monotonic()
    for finished in (RUN, BUNDLE):
        shutil.rmtree(finished, ignore_errors=True)
    interrupted = RUN.with_name(RUN.name + ".partial").exists()
    dashdeploy("search", "--task", TASK, *SEARCH.split(), "--out", RUN, *["--resume"] * interrupted)
    dashdeploy("export", RUN, "--out", BUNDLE)
    dashdeploy("bench", "latency", BUNDLE, "--json", LATENCY)
    run, bundle = Run.load(RUN), Bundle.load(BUNDLE)
    samples = load_task(TASK).test.inputs[:SAMPLES]
    with torch.no_grad():
        expected = run.searched_model()(samples).numpy()
    with server(BUNDLE) as url:
        served = ask(url, bundle, samples.numpy())
    difference = float(np.abs(served - expected).max() / np.abs(expected).max())
    agree = bool((served.argmax(1) == expected.argmax(1)).all())
    print(report(run, bundle, served, difference))
    print(f"\nall stages took {time.monotonic() - started:.0f} s; the run and the bundle are in {FOLDER}/")
    if not (difference <= TOLERANCE and agree):
        print(f"the served outputs differ from PyTorch's by {difference:.1e}", file=sys.stderr)
        return 1
    return 0


def dashdeploy(*words: object) -> None:
    """Run a command as a user would, without its result, which the report contains."""
    print("$ dashdeploy", *words, flush=True)
    command = [sys.executable, "-m", "dashdeploy", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)


@contextmanager
def server(bundle: Path) -> Iterator[str]:
    """Start a server on a free port of this machine, yield its address, and stop it."""
    print("$ dashdeploy serve", bundle, "--http-port 0 --grpc-port 0", flush=True)
    command = [
        sys.executable,
        "-m",
        "dashdeploy",
        "serve",
        str(bundle),
        "--http-port",
        "0",
        "--grpc-port",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        print(line, end="", file=sys.stderr)
        address = next((word for word in line.split() if word.startswith("http://")), None)
        if address is None:
            sys.exit(process.wait())
        try:
            yield address
        finally:
            process.terminate()


def ask(url: str, bundle: Bundle, samples: Array) -> Array:
    """Send `samples` [n, 1, length] to the server in the protocol's JSON and return its outputs [n, classes]."""
    (model_input,) = bundle.manifest.inputs
    tensor = {
        "name": model_input.name,
        "shape": list(samples.shape),
        "datatype": "FP32",
        "data": samples.ravel().tolist(),
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    with urllib.request.urlopen(
        f"{url}/v2/models/{bundle.manifest.name}/infer", body, timeout=60
    ) as response:
        (output,) = json.load(response)["outputs"]
    return np.array(output["data"], dtype=np.float32).reshape(output["shape"])


def report(run: Run, bundle: Bundle, served: Array, difference: float) -> str:
    """What was gained, as one table and one sentence, and what it rests on."""
    kernels = Counter((layer.kernel_size, layer.dilation) for layer in run.architecture.layers)
    chosen = [layer["chosen"] for layer in bundle.read_json("plan.json")["layers"]]
    lowered = sum(each != "direct" for each in chosen)
    rows = {row["variant"]: row for row in json.loads(LATENCY.read_text())["rows"] if row["batch"] == 1}
    accuracy = {
        name: run.metrics[key]["test"] for name, key in (("compiled", "searched"), ("backbone", "backbone"))
    }
    accuracy["direct"] = accuracy["compiled"]
    what = {
        "compiled": f"what DASH found, compiled: {lowered} of {len(chosen)} convolutions by FFT or Toom-Cook",
        "direct": "the same network, all direct",
        "backbone": "its backbone as it was, trained with the same budget",
    }
    cells = [
        [
            what[name],
            f"{accuracy[name]:.1%}",
            rows[name]["p50_ms"],
            rows[name]["p50_ms"] / rows["compiled"]["p50_ms"],
        ]
        for name in what
        if name in rows
    ]
    worst = max(each["max_relative_error"] for each in bundle.read_json("parity.json")["outputs"])
    times = rows["direct"]["p50_ms"] / rows["compiled"]["p50_ms"]
    listed = ", ".join(f"{count} x kernel {k} dilation {d}" for (k, d), count in kernels.most_common())
    parts = [
        "=" * 20 + f" {run.metrics['task']}, from data to server " + "=" * 20,
        table(["network", "test accuracy", "p50 ms, batch 1", "of compiled"], cells),
        f"Of series that neither has seen, DASH's network names the right pig for {accuracy['compiled']:.1%} and its "
        f"backbone for {accuracy['backbone']:.1%}, and the compiler makes it {times:.2f} times as fast.",
        f"kernels: {listed}\n"
        f"parity with {bundle.read_json('parity.json')['reference']}: {worst:.1e}\n"
        f"served: {len(served)} answers equal PyTorch's to {difference:.1e} of the largest output (at most "
        f"{TOLERANCE:.0e} allowed)",
    ]
    return "\n\n".join(parts)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text, each as wide as its widest cell; numbers with four digits."""
    cells = [list(headers), *([_cell(each) for each in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
