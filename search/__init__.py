"""Search: the kernel sizes and dilations that fit a task (DASH), and the network trained with them.

The package can be called: ``dashdeploy.search(data, backbone, out=...)`` is `dashdeploy.search.api.search`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashdeploy.run_directory import Run


class _CallablePackage(ModuleType):
    """A package that is its main function, too, since both have the same name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Run:  # noqa: ANN401 - as the function has them
        """See `dashdeploy.search.api.search`."""
        from dashdeploy.search.api import search

        return search(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
