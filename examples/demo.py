"""All four stages on MNIST-1D: search, export, bench and serve, and one report at the end.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy import Bundle, Run, load_task

FOLDER = Path("demo")
RUN, BUNDLE, LATENCY = FOLDER / "run", FOLDER / "bundle", FOLDER / "latency.json"
SAMPLES = 100
TOLERANCE = 1e-5
"""Of the served outputs, as a share of the largest one; float32 keeps 6e-8, and errors add up."""
PUBLISHED = "Published for MNIST-1D, test accuracy: linear 32 %, MLP 68 %, GRU 91 %, CNN 94 %, human 96 %."

Array = npt.NDArray[np.float32]


def main() -> int:
    """Run the stages and print the report."""
    started = time.monotonic()
    for finished in (RUN, BUNDLE):
        shutil.rmtree(finished, ignore_errors=True)
    interrupted = RUN.with_name(RUN.name + ".partial").exists()
    # Fewer passes than the preset has: a demo may miss a few tenths of a point, but not take ten minutes.
    short = ["--retrain-epochs", "30", "--set", "shortlist_epochs=8"]
    task = ["--task", "mnist1d", "--preset", "quick", *short]
    dashdeploy("search", *task, "--out", RUN, *["--resume"] * interrupted)
    dashdeploy("export", RUN, "--out", BUNDLE)
    dashdeploy("bench", "latency", BUNDLE, "--json", LATENCY)
    run, bundle = Run.load(RUN), Bundle.load(BUNDLE)
    samples = load_task("mnist1d").test.inputs[:SAMPLES]
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
    """Send `samples` [n, 1, 40] to the server in the protocol's JSON and return its outputs [n, 10]."""
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
    """What the stages found, as one text."""
    metrics = run.metrics
    plan = {layer["name"]: layer for layer in bundle.read_json("plan.json")["layers"]}
    layers = [
        [
            layer.name,
            layer.kernel_size,
            layer.dilation,
            plan[layer.name]["chosen"],
            plan[layer.name]["reason"],
        ]
        for layer in run.architecture.layers
    ]
    accuracies = [
        [name, *("–" if value is None else f"{value:.2%}" for value in metrics[key].values())]
        for name, key in (("searched", "searched"), ("baseline backbone", "backbone"))
    ]
    if all(layer["chosen"] == "direct" for layer in plan.values()):
        lowered = "At these lengths no FFT pays. dashdeploy bench networks shows networks where it does."
    else:
        lowered = "The lowering was chosen by measuring on this machine."
    prediction = bundle.manifest.labels[int(served[0].argmax())]
    parts = [
        "=" * 30 + " MNIST-1D, from data to server " + "=" * 30,
        table(["layer", "kernel", "dilation", "lowering", "reason"], layers),
        lowered,
        table([metrics["metric"], "validation", "test"], accuracies),
        PUBLISHED,
        parity(bundle.read_json("parity.json")),
        latencies(json.loads(LATENCY.read_text())),
        f"served: the first test sample is a {prediction}; {len(served)} served outputs equal PyTorch's to "
        f"{difference:.1e} of the largest one (at most {TOLERANCE:.0e} allowed)",
    ]
    return "\n\n".join(parts)


def parity(checked: dict[str, Any]) -> str:
    """How far the compiled model is from its reference, per output and set of inputs."""
    rows = [
        [each["output"], each["inputs"], f"{each['max_relative_error']:.1e}"] for each in checked["outputs"]
    ]
    title = f"parity with {checked['reference']}: a relative error of {checked['tolerance']:.0e} is allowed"
    return f"{title}\n\n{table(['output', 'inputs', 'relative error'], rows)}"


def latencies(measured: dict[str, Any]) -> str:
    """Milliseconds per variant and batch, and how many times as fast as the variant the compiled model is."""
    speedups = {(each["batch"], each["over"]): each["median"] for each in measured["speedups"]}
    rows = []
    for row in measured["rows"]:
        ratio = speedups.get((row["batch"], row["variant"]))
        rows.append([row["variant"], row["batch"], row["p50_ms"], row["p90_ms"], row["p99_ms"], ratio])
    return table(
        ["variant", "batch", "p50 ms", "p90 ms", "p99 ms", "compiled is so many times as fast"], rows
    )


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
