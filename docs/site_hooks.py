"""What the site shows beside docs/: the examples, the project's own pages, and lists of folders that pages link to.

MkDocs calls the functions `on_files` and `on_page_markdown` while `make site` builds the pages. On disk, and on a
code host, the same links lead to the files themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PROJECT_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the project's root, and their names on the site."""
README_HOMES = {
    "#from-python": "tutorial.md#from-python",
    "#from-scikit-learn": "tutorial.md#from-scikit-learn",
}
"""Headings of the README that pages link to, and what says the same on the site."""
LISTED = {"results": "Results of the benchmarks, as JSON", "schemas": "JSON schemas of what commands print"}
"""Folders of docs/ that pages link to as a whole."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the examples, the project's own pages, and a list for each folder that is linked to."""
    for path in sorted((ROOT / "examples").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, f"{name}.txt", content=path.read_text(encoding="utf-8")))
    for source, name in PROJECT_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        text = re.sub(r"\]\(docs/", "](", text)
        files.append(File.generated(config, name, content=text))
    for folder, title in LISTED.items():
        names = sorted(path.name for path in (ROOT / "docs" / folder).iterdir())
        lines = [f"# {title}", "", *(f"- [{name}]({name})" for name in names), ""]
        files.append(File.generated(config, f"{folder}/index.md", content="\n".join(lines)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links to the repository's other folders into links within the site."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)*(examples/[^)#]+)\)", rf"]({up}\1.txt)", markdown)
    for folder in LISTED:
        markdown = re.sub(rf"\]\({folder}/?\)", f"]({folder}/index.md)", markdown)
    for heading, home in README_HOMES.items():
        markdown = markdown.replace(f"](../README.md{heading})", f"]({up}{home})")
    for source, name in PROJECT_PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(source)}", f"]({up}{name}", markdown)
    # In a fence's line the tests of the documents find what to leave out; to a reader it says nothing.
    return re.sub(r"^```(\w+) skip=\w+$", r"```\1", markdown, flags=re.MULTILINE)
