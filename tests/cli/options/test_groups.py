"""Groups of options: a command has each of their options, and gets them as one value."""

import inspect
from enum import StrEnum
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from dashdeploy.cli.command import Command
from dashdeploy.cli.options.groups import OptionGroup, with_option_groups

Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing.")]


class Color(StrEnum):
    RED = "red"
    GREEN = "green"


class Paint(OptionGroup, panel="Paint"):
    """What is painted."""

    color: Annotated[Color, typer.Option("--color", help="Which color.")] = Color.RED
    layers: Annotated[int, typer.Option("--layers", min=1, help="How many.")]
    marks: Annotated[list[str] | None, typer.Option("--mark", help="May be repeated.")] = None
    quiet: Quiet = False


class Talk(OptionGroup):
    """What is said."""

    loud: Annotated[bool | None, typer.Option("--loud/--soft", help="How.")] = None


def program(function):
    app = typer.Typer(rich_markup_mode=None)
    app.command(cls=Command)(with_option_groups(function))
    return app


def run(function, *words):
    return CliRunner().invoke(program(function), list(words))


def painted(
    wall: Annotated[str, typer.Argument(help="Which wall.")],
    paint: Paint,
    times: Annotated[int, typer.Option("--times", help="How often.")] = 1,
    *,
    talk: Talk,
) -> None:
    """Paint a wall."""
    print(wall, paint.color.name, paint.layers, paint.marks, paint.quiet, times, talk.loud)
    print(paint.values())


def test_options_come_as_a_group():
    done = run(painted, "north", "--layers", "2", "--mark", "a", "--mark", "b", "--soft", "--quiet")
    assert done.exit_code == 0, done.output
    line, values = done.stdout.splitlines()
    assert line == "north RED 2 ['a', 'b'] True 1 False"
    assert values == str({"color": Color.RED, "layers": 2, "marks": ["a", "b"], "quiet": True})


def test_defaults_and_choices_are_those_of_the_annotations():
    assert run(painted, "north", "--layers", "1").stdout.startswith("north RED 1 None False 1 None\n")
    assert run(painted, "north", "--layers", "1", "--color", "green").stdout.startswith("north GREEN 1")
    for wrong in (["north"], ["north", "--layers", "0"], ["north", "--layers", "1", "--color", "blue"]):
        assert run(painted, *wrong).exit_code == 2


def test_help_has_a_heading_for_every_group():
    shown = run(painted, "--help").stdout
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Paint:", "Options:"]
    paint, options = shown.partition("Paint:\n")[2].split("Options:\n")
    assert [word in paint for word in ("--color", "--layers", "--mark", "--quiet")] == [True] * 4
    assert [word in options for word in ("--times", "--loud / --soft", "--help")] == [True] * 3


def test_an_option_of_two_groups_keeps_the_heading_of_each():
    class Whisper(OptionGroup, panel="Whisper"):
        quiet: Quiet = False

    def whispered(whisper: Whisper) -> None:
        """Whisper."""

    whispered.__annotations__["whisper"] = Whisper  # a class of a function has no name in the module
    assert "Whisper:\n  --quiet" in run(whispered, "--help").stdout
    assert "--quiet" in run(painted, "--help").stdout.partition("Paint:\n")[2].partition("Options:")[0]


def test_two_options_of_one_name_are_refused():
    def confused(paint: Paint, quiet: Quiet = False) -> None:
        """Say two things."""

    with pytest.raises(ValueError, match="quiet"):
        with_option_groups(confused)


def test_a_function_keeps_its_name_and_text():
    command = with_option_groups(painted)
    assert (command.__name__, command.__doc__) == ("painted", "Paint a wall.")
    names = ["wall", "color", "layers", "marks", "quiet", "times", "loud"]
    assert list(inspect.signature(command).parameters) == names
