"""The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, on random shapes and on threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashdeploy.export.native import build as module
from dashdeploy.export.native.build import build, find_compiler
from dashdeploy.runtimes.native.library import LIBRARY_VARIABLE

HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_sanitizers_find_nothing(tmp_path):
    compiler = find_compiler()
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g")
    library = build(tmp_path, extra=flags)
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(runtime).is_absolute(), "the compiler has no AddressSanitizer"
    environment = {
        **os.environ,
        LIBRARY_VARIABLE: str(library),
        "LD_PRELOAD": runtime,
        # Python and its packages keep what they allocate.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
        "DASHDEPLOY_FUZZ_EXAMPLES": "150",
    }
    tests = [str(HERE / name) for name in ("test_kernels.py", "test_networks.py")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", "0", *tests]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, cwd=HERE.parents[2]
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.slow
def test_the_sanitizers_would_find_a_read_behind_an_array(tmp_path):
    """What the test above means: a plane that is a row too short is told."""
    sources = tmp_path / "src"
    sources.mkdir()
    for path in module.SOURCES.iterdir():
        text = path.read_text()
        if path.name == "plan.cpp":
            assert "2L * (c.frequencies + 1) * c.plane + " in text
            text = text.replace("2L * (c.frequencies + 1) * c.plane + ", "")
        (sources / path.name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SOURCES", sources)
        library = build(tmp_path, extra=("-fsanitize=address", "-O1"))
    runtime = subprocess.run(
        [find_compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {**os.environ, LIBRARY_VARIABLE: str(library), "LD_PRELOAD": runtime}
    environment["ASAN_OPTIONS"] = f"detect_leaks=0:halt_on_error=1:log_path={tmp_path / 'told'}"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-n", "0"]
    command += [str(HERE / "test_kernels.py"), "-k", "every_tile"]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, cwd=HERE.parents[2]
    )
    assert done.returncode != 0
    told = "".join(path.read_text() for path in tmp_path.glob("told.*"))
    assert "AddressSanitizer: heap-buffer-overflow" in told
