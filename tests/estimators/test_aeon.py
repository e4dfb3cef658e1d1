"""aeon's own checks of estimators, in an environment of their own: aeon asks for older NumPy and pandas."""

import json
import os
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKS = Path(__file__).with_name("aeon_checks.py")
AEON = "aeon==1.6.0"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter with aeon and what it asks for; everything else comes from this environment."""
    folder = tmp_path_factory.mktemp("aeon") / "venv"
    venv.create(folder, with_pip=True)
    found = folder / "bin" / "python"
    done = subprocess.run(
        [found, "-m", "pip", "install", "--quiet", AEON, "pytest"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"{AEON} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "zz_others.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return found


def test_aeon_s_checks(python):
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [python, CHECKS],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert len(results) > 40, sys.version
    # None is left out and none is expected to fail.
    assert {name: result for name, result in results.items() if result != "PASSED"} == {}
