"""The public functions of `dashdeploy.bench`, which are imported on first use."""

import subprocess
import sys

import pytest

import dashdeploy.bench


@pytest.mark.parametrize("name", dashdeploy.bench.__all__)
def test_every_public_name_is_there(name):
    assert getattr(dashdeploy.bench, name).__name__ == name
    assert name in dir(dashdeploy.bench)


def test_no_other_name_is_there():
    with pytest.raises(AttributeError, match="no attribute 'measure_nothing'"):
        dashdeploy.bench.measure_nothing  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, dashdeploy.bench\n"
        "assert not {'torch', 'onnx', 'onnxruntime', 'numpy', 'pydantic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
