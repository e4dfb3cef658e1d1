"""The house: which module may import which, what messages may name, and how large files and folders are.

The import graph is drawn from the syntax trees, through the symbolic links, so that imports within functions count;
those for type checkers alone do not.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
import typer

import dashdeploy
from dashdeploy.cli.app import app

PACKAGE = Path(dashdeploy.__file__).parent
PUBLIC_API = "dashdeploy"  # the page that names every stage; nothing below imports it

STAGES = ("search", "export", "bench", "serve")
MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "cli": STAGES,
    "bench": ("search", "export", "serve"),
    "search": ("export.planning.candidate_costs",),
    # An estimator is both stages behind one interface; it is used by the public API alone.
    "estimators": ("search", "export"),
}
"""What of the stages each part may import, besides itself; the core may import none."""

LARGEST_FILE, LARGEST_FOLDER, SMALL_FILE, MOST_SMALL_FILES = 350, 15, 40, 25  # lines, files, lines, files


def files_below(folder: Path) -> Iterator[Path]:
    """All Python files; `Path.rglob` would not follow the links to the stages."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from files_below(path)
        elif path.suffix == ".py":
            yield path


def name_of(path: Path) -> str:
    parts = ("dashdeploy", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> Mapping[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in files_below(PACKAGE)}


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def nodes_that_run(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if is_for_type_checkers(child):
            continue
        yield child
        yield from nodes_that_run(child)


def imports_of(tree: ast.Module, modules: Mapping[str, ast.Module]) -> set[str]:
    found = set()
    for node in nodes_that_run(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "import by the full name"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules else str(node.module))
    return found & set(modules)


@cache
def graph() -> Mapping[str, set[str]]:
    return {name: imports_of(tree, trees()) for name, tree in trees().items()}


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@cache
def packages() -> frozenset[str]:
    return frozenset(name_of(path) for path in files_below(PACKAGE) if path.name == "__init__.py")


def first_circle(edges: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_modules_import_in_no_circle():
    assert len(graph()) > 200
    assert first_circle(graph()) == []


def test_the_stages_are_reached_from_above_alone():
    wrong = []
    for module, imported in graph().items():
        if module == PUBLIC_API or module == f"{PUBLIC_API}.__main__":
            continue
        part = part_of(module)
        for other in imported:
            inner = other.removeprefix("dashdeploy.")
            if part_of(other) == "cli" and part != "cli":
                wrong.append((module, other))
            if part_of(other) in STAGES and part_of(other) != part:
                allowed = MAY_IMPORT.get(part, ())
                if not any(inner == each or inner.startswith(f"{each}.") for each in allowed):
                    wrong.append((module, other))
    assert wrong == []


def test_nothing_imports_the_public_api():
    assert [module for module, imported in graph().items() if PUBLIC_API in imported] == []


@cache
def options() -> frozenset[str]:
    """Every flag of every command."""

    def of(command: Any) -> Iterator[str]:
        for parameter in command.params:
            if parameter.param_type_name == "option":
                yield from (
                    word for word in (*parameter.opts, *parameter.secondary_opts) if word.startswith("--")
                )
        for inner in getattr(command, "commands", {}).values():
            yield from of(inner)

    return frozenset(of(typer.main.get_command(app)))


def flags_in(text: str) -> set[str]:
    """The options of ours that a sentence names; a flag by itself is a word of a command that is run, maybe git's."""
    if " " not in text.strip() or "pip install" in text:
        return set()
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)) & options()


def test_nothing_below_the_command_line_names_an_option():
    assert {"--out", "--resume", "--trt"} <= options()
    assert flags_in("choose another --out") == {"--out"}
    wrong = [
        (module, node.lineno, sorted(flags_in(node.value)))
        for module, tree in trees().items()
        if part_of(module) != "cli"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and flags_in(node.value)
    ]
    assert wrong == []


def test_a_folder_holds_few_files():
    folders = {path.parent for path in files_below(PACKAGE)}
    sizes = {
        folder.relative_to(PACKAGE).as_posix(): sum(1 for file in folder.iterdir() if file.is_file())
        for folder in folders
    }
    assert {folder: count for folder, count in sizes.items() if count > LARGEST_FOLDER} == {}


def test_files_are_neither_long_nor_many_that_are_short():
    lines = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files_below(PACKAGE)
    }
    assert {path: count for path, count in lines.items() if count > LARGEST_FILE} == {}
    # The docstring of a folder is not a file in this sense.
    short = [path for path, count in lines.items() if count < SMALL_FILE and not path.endswith("__init__.py")]
    assert len(short) < MOST_SMALL_FILES, short


@pytest.mark.parametrize("package", sorted(packages()))
def test_a_folder_says_what_lives_there(package):
    assert ast.get_docstring(trees()[package])
