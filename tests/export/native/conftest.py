"""Tests of the native kernels are skipped where there is no C++ compiler to build them with."""

import pytest

from dashdeploy.errors import MissingCapabilityError
from dashdeploy.export.native.build import find_compiler
from dashdeploy.runtimes.native.library import load_library


@pytest.fixture(autouse=True)
def _kernels():
    try:
        load_library()
    except MissingCapabilityError as error:
        if find_compiler() is not None:
            raise
        pytest.skip(str(error))
