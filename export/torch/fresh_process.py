"""Runs a saved torch model in a process of its own, in which dashdeploy cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from dashdeploy.errors import GateError
from dashdeploy.runtimes.base import Array

_PROGRAM = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "dashdeploy":
            raise ImportError("the model needs dashdeploy")

sys.meta_path.insert(0, Refuse())
import numpy, torch

file, feeds, results, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
model = torch.jit.load(file) if file.endswith(".ts") else torch.export.load(file).module()
with numpy.load(feeds) as sets, torch.inference_mode():
    numpy.savez(results, **{name: model(torch.from_numpy(sets[name])).numpy() for name in sets.files})
"""


def run_fresh(file: Path, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a ``.ts`` or ``.pt2`` file in a fresh process with plain torch.

    Args:
        file: a model of one input and one output.
        feeds: inputs, by a name for each.

    Returns:
        The output for each input, by the same names.

    Raises:
        GateError: the model cannot be loaded or run there.
    """
    with TemporaryDirectory() as folder:
        results = Path(folder) / "results.npz"
        # NumPy below 2.1 would take `allow_pickle` for an array of this name.
        np.savez(Path(folder) / "feeds.npz", **feeds)  # type: ignore[arg-type]
        words = [str(file.absolute()), str(Path(folder) / "feeds.npz"), str(results)]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _PROGRAM, *words, str(torch.get_num_threads())],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not results.is_file():
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise GateError(f"{file.name} does not run in a fresh process with plain torch: {reason}")
        with np.load(results, allow_pickle=False) as outputs:
            return {name: outputs[name] for name in outputs.files}
