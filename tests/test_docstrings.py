"""The docstrings of the public API: what every name is, takes, gives and raises, and how it is used.

They are read by griffe, which the reference of the site is made with.
"""

import inspect

import pytest

import dashdeploy

griffe = pytest.importorskip("griffe", reason="the extra docs is not installed")

FUNCTIONS = ["compile", "load_data", "load_engine", "load_npz", "load_task", "search", "serve", "task_from"]
ERRORS = ["DashdeployError", "GateError", "InputError", "MissingCapabilityError"]
CLASSES = [
    name
    for name in (*dashdeploy.__all__, *dashdeploy._OF_EXTRAS)
    if name not in (*FUNCTIONS, *ERRORS, "bench", "__version__")
]


def sections(thing):
    """The sections of a docstring by their kind, each a list."""
    found = {}
    docstring = griffe.Docstring(inspect.getdoc(thing) or "")
    for section in docstring.parse("google", warnings=False):
        found.setdefault(section.kind.value, []).append(section)
    return found


def named(parts, kind):
    return [entry.name.lstrip("*") for section in parts.get(kind, []) for entry in section.value]


def has_example(parts):
    return "examples" in parts or any(
        section.title == "Example" or section.value.kind == "example"
        for section in parts.get("admonition", [])
    )


def public_methods(kind):
    """Those of the class and of its bases in this package."""
    members = {}
    for base in reversed([base for base in kind.__mro__ if base.__module__.startswith("dashdeploy")]):
        members |= vars(base)
    for name, member in members.items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


CALLS = [pytest.param(getattr(dashdeploy, name), id=name) for name in FUNCTIONS] + [
    pytest.param(function, id=f"{name}.{method}")
    for name in CLASSES
    for method, function in public_methods(getattr(dashdeploy, name))
]


def test_every_public_name_is_of_a_kind():
    assert all(inspect.isfunction(getattr(dashdeploy, name)) for name in FUNCTIONS)
    assert all(inspect.isclass(getattr(dashdeploy, name)) for name in (*ERRORS, *CLASSES))


@pytest.mark.parametrize("function", CALLS)
def test_a_call_says_what_it_takes_and_gives(function):
    parts, signature = sections(function), inspect.signature(function)
    taken = [name for name in signature.parameters if name not in ("self", "cls")]
    assert "text" in parts
    if "parameters" in parts or len(taken) > 1:
        assert named(parts, "parameters") == taken
    gives = signature.return_annotation not in (None, "None", inspect.Signature.empty, "NoReturn")
    summary = parts["text"][0].value.splitlines()[0]
    if gives and len(taken) > 1:
        assert "returns" in parts, f"no Returns: {summary}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_says_what_it_raises_and_has_an_example(name):
    parts = sections(getattr(dashdeploy, name))
    assert "raises" in parts
    assert has_example(parts), parts.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_says_what_it_holds_and_has_an_example(name):
    kind = getattr(dashdeploy, name)
    parts = sections(kind)
    documented = {*named(parts, "attributes"), *named(parts, "parameters")}
    assert "text" in parts
    assert has_example(parts), parts.keys()
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    assert {field for field in fields if not field.startswith("_")} <= documented
