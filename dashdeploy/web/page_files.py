"""The files of pages: JavaScript modules, style sheets and HTML that ship in the package, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
"""By suffix. A browser refuses modules and style sheets of any other type where the answer says ``nosniff``."""

SHARED = "dashdeploy.web", "modules"
"""The package, and the folder in it, of what all pages share."""


@cache
def page_files(*folders: tuple[str, str]) -> Mapping[str, bytes]:
    """The content of every file of a page, by name.

    Args:
        folders: packages, each with the folder in it that holds files. No two may hold files of one name.

    Raises:
        ValueError: two folders hold files of one name.
    """
    found: dict[str, bytes] = {}
    for package, folder in folders:
        for each in files(package).joinpath(folder).iterdir():
            if not each.is_file():
                continue
            if each.name in found:
                raise ValueError(f"two folders hold {each.name}")
            found[each.name] = each.read_bytes()
    return found
