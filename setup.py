"""The build, which pyproject.toml describes. Here is only what it cannot: a check, and the native kernels.

setuptools would leave the stages out of a wheel without a word where the checkout has no symbolic links. The native
kernels are compiled where there is a C++ compiler; without one everything else is installed, and `dashdeploy doctor`
says what is missing. ``DASHDEPLOY_NATIVE=0`` leaves them out, ``DASHDEPLOY_NATIVE=1`` makes their absence an error.
"""

import os
import runpy
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

package = Path(__file__).parent / "dashdeploy"
runpy.run_path(str(package / "checkout.py"))["refuse_missing_stages"](package)
native = runpy.run_path(str(package / "export" / "native" / "build.py"))


class BuildWithKernels(build_py):
    """Copies the package and compiles the native kernels beside what loads them."""

    built = False

    def run(self) -> None:
        """Build."""
        super().run()
        root = package if self.editable_mode else Path(self.build_lib, "dashdeploy")
        # An earlier build in the same folder may have had a compiler.
        (root / "runtimes" / "native" / native["LIBRARY"]).unlink(missing_ok=True)
        wanted = os.environ.get("DASHDEPLOY_NATIVE", "")
        if wanted == "0":
            return
        try:
            native["build"](root / "runtimes" / "native")
            type(self).built = True
        except native["BuildError"] as error:
            if wanted == "1":
                raise
            print(f"without native kernels: {error}", file=sys.stderr)


class PlatformWheel(bdist_wheel):
    """A wheel with native kernels is for one platform, and for every Python there."""

    def get_tag(self) -> tuple[str, str, str]:
        """The wheel's tag."""
        if not BuildWithKernels.built:
            return super().get_tag()
        self.root_is_pure = False
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithKernels, "bdist_wheel": PlatformWheel})
