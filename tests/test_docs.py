"""The documentation: commands and options are described, the reference is current, links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from dashdeploy.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def every_command(command=None, path="dashdeploy"):
    command = command or get_command(app)
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from every_command(child, f"{path} {name}")


def test_the_reference_is_up_to_date():
    script = ROOT / "docs" / "generate_cli_reference.py"
    result = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in every_command()])
def test_every_command_and_option_is_documented(path, command):
    reference = (ROOT / "docs" / "cli.md").read_text()
    section = reference.partition(f"## {path}\n")[2].partition("\n## ")[0]
    assert section, f"docs/cli.md has no section {path}"
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("-"):
                assert option in section, f"{path}: {option} is not in docs/cli.md"
        assert getattr(parameter, "help", None), f"{path}: {parameter.name} has no help text"


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in every_command()])
def test_every_command_has_an_example(path, command):
    if getattr(command, "commands", None):
        return  # a group: its commands have theirs
    assert f"\n  {path}" in command.help.partition("Example:")[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue  # another site's
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target} leads nowhere"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target}: no such heading"


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_of_the_search_is_in_its_docs():
    from dashdeploy.search.config.settings import SearchSettings

    text = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
    assert [name for name in SearchSettings.model_fields if f"`{name}`" not in text] == []


def test_decisions_are_records_and_the_oldest_comes_first():
    records = re.split(
        r"^## ", (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )[1:]
    parts = ["Date:", "Context.", "Decision.", "Figures."]
    for record in records:
        assert re.findall(r"^\*\*(\w+[:.])\*\*", record, flags=re.MULTILINE) == parts, record.splitlines()[0]
    dates = [re.search(r"Date:\*\* (\d{4}-\d\d-\d\d)", record).group(1) for record in records]
    assert dates == sorted(dates)


def test_the_newest_version_is_named_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[(\d[\d.]*)\] - (\d{4}-\d\d-\d\d)$", changelog, flags=re.MULTILINE)
    assert changelog.index("## [Unreleased]") < changelog.index(f"## [{project['version']}]")
    assert versions[0] == (project["version"], citation["date-released"])
    assert citation["version"] == project["version"]
    numbers = [[int(part) for part in version.split(".")] for version, _ in versions]
    assert numbers == sorted(numbers, reverse=True)
    kinds = {"Breaking", "Added", "Changed", "Deprecated", "Fixed", "Removed", "Security"}
    assert set(re.findall(r"^### (.*)$", changelog, flags=re.MULTILINE)) <= kinds


UNPLAIN = re.compile(r"\b(?:is\s+no|of\s+one.s\s+own|what\s+is\s+told|mended)\b", flags=re.IGNORECASE)
"""Phrases of translated English, also across the end of a line."""


def test_the_texts_are_free_of_phrases_that_read_as_translated():
    sources = [
        path
        for folder in ("dashdeploy", "search", "export", "bench", "docs")
        for path in (ROOT / folder).rglob("*")
    ]
    texts = [
        path for path in sources if path.suffix in {".py", ".md", ".js", ".mjs", ".html", ".j2", ".proto"}
    ]
    found = []
    for path in [*ROOT.glob("*.md"), *texts]:
        content = path.read_text(encoding="utf-8")
        found += [
            f"{path.relative_to(ROOT)}:{content.count(chr(10), 0, each.start()) + 1}: {each.group()}"
            for each in UNPLAIN.finditer(content)
        ]
    assert len(texts) > 400
    assert found == []
