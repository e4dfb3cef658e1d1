"""The build, which pyproject.toml describes. Here is only a check that all of it is there.

setuptools would leave the stages out of a wheel without a word where the checkout has no symbolic links.
"""

import runpy
from pathlib import Path

from setuptools import setup

package = Path(__file__).parent / "dashdeploy"
runpy.run_path(str(package / "checkout.py"))["refuse_missing_stages"](package)
setup()
