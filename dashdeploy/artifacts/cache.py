"""Where what was measured or generated once is kept for the next time."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``$DASHDEPLOY_CACHE``, or ``dashdeploy`` in the user's cache folder (XDG base directories)."""
    chosen = os.environ.get("DASHDEPLOY_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dashdeploy"
