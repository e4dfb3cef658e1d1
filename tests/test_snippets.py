"""What the pages show is valid: Python blocks parse, and commands have the options that they are given.

tests/test_documents.py runs the blocks of the pages for readers; these checks hold for every page, the reference too.
"""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from dashdeploy.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks(*languages):
    for page in PAGES:
        for language, text in FENCE.findall(page.read_text(encoding="utf-8")):
            if language in languages:
                yield page.relative_to(ROOT).as_posix(), text


def commands():
    """The command lines that start with dashdeploy: page and words."""
    for page, text in blocks("bash", "text"):
        if page == "docs/cli.md":
            continue  # written from the program itself
        for line in text.replace("\\\n", " ").splitlines():
            found = re.match(
                r"\s*(?:OMP_NUM_THREADS=1 |torchrun .* -m |srun .* -m )?(dashdeploy (?!/).*)", line
            )
            if found and not re.match(r"dashdeploy (?:is|has) ", found[1]):
                yield page, found[1].partition(" > ")[0].rstrip(" &")


@pytest.mark.parametrize(("page", "text"), list(blocks("python")))
def test_python_parses(page, text):
    ast.parse(text, filename=page)


@pytest.mark.parametrize(("page", "line"), list(dict.fromkeys(commands())))
def test_a_command_has_its_options(page, line):
    words = shlex.split(line.replace("…", ""))[1:]
    command, path = get_command(app), ["dashdeploy"]
    while words and words[0] in getattr(command, "commands", {}):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    assert len(path) > 1 or words[0].startswith("--"), f"{page}: {line}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "--version", "-h"}
    assert {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)} <= known, (
        f"{page}: {line}"
    )


def test_there_are_many():
    assert len(list(commands())) > 60
    assert len(list(blocks("python"))) > 15
