"""Starts `make gpu-check` on a machine that may have no more than a driver, Python and torch with CUDA.

It needs Python's own library alone. What else is missing is installed from a folder of wheels, without a network and
into a folder of its own: the machine's Python stays as it is.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MISSING = 3
"""The exit code that says so, everywhere in this project."""

OLDEST = (3, 11)
MOST_NAMED = 6
WHEELS_TXT = Path(__file__).with_name("wheels.txt")
BESIDE_TORCH = ("torch", "numpy", "jinja2", "filelock")
"""Modules that are never in the folder: torch, and what comes with it."""

MODULES = {
    "markdown-it-py": "markdown_it",
    "mako": "mako.template",
    "nvidia-ml-py": "pynvml",
    "protobuf": "google.protobuf",
    "pytorch-lightning": "pytorch_lightning",
    "pyyaml": "yaml",
}
"""Packages whose module has another name than theirs."""


def packages() -> list[str]:
    """What the folder of wheels holds."""
    lines = (line.partition("#")[0].strip() for line in WHEELS_TXT.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def absent(modules: list[str]) -> list[str]:
    """Those of `modules` that this Python does not find."""
    found = []
    for module in modules:
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            found.append(module)
    return found


def module_of(package: str) -> str:
    """The module by which a package is known to be there."""
    return MODULES.get(package, package.replace("-", "_"))


def why_not_here(device: str) -> str | None:
    """What this machine lacks that no folder of wheels brings, in a line; None if nothing."""
    if sys.version_info < OLDEST:
        return (
            f"Python {'.'.join(map(str, sys.version_info[:2]))} is too old: use 3.12 (make PYTHON=python3.12)"
        )
    missing = absent(list(BESIDE_TORCH))
    if missing:
        names = ", ".join(missing)
        return (
            f"{names}: not installed for {sys.executable}; install torch with CUDA: pip install torch numpy"
        )
    if device == "cpu":
        return None
    import torch

    if torch.cuda.is_available():
        return None
    if torch.version.cuda is None:
        what = f"torch {torch.__version__} is built without CUDA, and the check needs an NVIDIA GPU"
    else:
        what = f"torch {torch.__version__} sees no NVIDIA GPU; see what nvidia-smi says"
    return f"{what}; rehearse it on the CPU with: make gpu-check DEVICE=cpu"


def install(wheels: Path, into: Path) -> str | None:
    """Install every wheel of a folder into a folder of its own; why that is not possible, or None."""
    files = sorted(wheels.glob("*.whl"))
    if not files:
        lacking = absent([module_of(package) for package in packages()])
        more = f" and {len(lacking) - MOST_NAMED} more" if lacking[MOST_NAMED:] else ""
        return (
            f"{', '.join(lacking[:MOST_NAMED])}{more}: not installed, and {wheels} has no wheels; "
            "with a network run make gpu-wheels, and copy that folder here (make gpu-check WHEELS=FOLDER)"
        )
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    words += ["--no-deps", "--upgrade", "--target", str(into)]
    done = subprocess.run([*words, *map(str, files)], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"the wheels of {wheels} do not install: {reason_in(done.stderr)}"
    return None


def reason_in(said: str) -> str:
    """What pip says of a failure, in a line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["pip says nothing"]
    errors = [line for line in lines if re.match(r"(?i)error|.*no module named pip", line)]
    return (errors or lines)[0]


def main() -> int:
    """Say what is missing and end, or install what is, and run the check in place of this program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "gpu-wheels")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check")
    parser.add_argument("--quick", action="store_true")
    words = parser.parse_args()
    site = words.out / "site-packages"
    reason = why_not_here(words.device)
    if reason is None and absent([module_of(package) for package in packages()]):
        reason = install(words.wheels, site)
    if reason is not None:
        print(f"error: {reason}", file=sys.stderr)
        return MISSING
    folders = [str(ROOT), str(site.resolve()), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    command = [sys.executable, "-m", "dashdeploy.bench.gpu_check.measure", "--device", words.device]
    command += ["--out", str(words.out), *(["--quick"] if words.quick else [])]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
