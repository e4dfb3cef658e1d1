"""The parts of the server import each other in one direction, as the docstrings of their folders say."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from dashdeploy.serve import settings

ROOT = Path(settings.__file__).parent
PACKAGE = "dashdeploy.serve."

ALLOWED = {
    "settings": set(),
    "listening": set(),
    "observability": set(),
    "protocol": {"settings"},
    "limits": {"protocol"},
    "scheduling": {"observability", "protocol", "settings"},
    "repository": {"observability", "protocol", "scheduling", "settings"},
    "http": {"limits", "observability", "protocol", "repository", "settings"},
    "grpc": {"limits", "listening", "observability", "protocol", "repository", "settings"},
    "server": {
        "grpc",
        "http",
        "limits",
        "listening",
        "observability",
        "repository",
        "settings",
    },
    "api": {"server", "settings"},
}


def part_of(path):
    """The folder of the server that holds `path`, or the file's name."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}.{node.names[0].name}"


def imports():
    """The parts that each part imports, imports within functions and for type checkers included."""
    found = {}
    for path in ROOT.rglob("*.py"):
        part = part_of(path)
        names = {module.removeprefix(PACKAGE) for module in imported_modules(path) if PACKAGE in module}
        found.setdefault(part, set()).update(name.split(".")[0] for name in names)
    del found["__init__"]
    return {part: others - {part} for part, others in found.items()}


def test_every_part_imports_only_what_it_may():
    assert imports() == ALLOWED


def test_there_is_no_circle():
    assert len(list(TopologicalSorter(ALLOWED).static_order())) == len(ALLOWED)
