"""Parameters in the library's messages become the options of the command that was run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.cli.command import Command
from dashdeploy.cli.console import Console
from dashdeploy.cli.parameters import with_options
from dashdeploy.errors import stage_call


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ("search", "`out` exists; go on with `resume=True`", "--out exists; go on with --resume"),
        ("search", "`kernel_sizes=1,0`: no", "--kernel-sizes 1,0: no"),
        ("search", "`max_seconds=3` is short; `latency_target`", "--time-limit 3 is short; --target"),
        ("search", "`separable=False` and `separable=True`", "--dense and --separable"),
        (
            "export",
            "`kernel_sizes=1,0` is not an option of export",
            "`kernel_sizes=1,0` is not an option of export",
        ),
        ("export", "`input_shapes` and `trt_rtx=True`", "--input-shape and --trt-rtx"),
        ("bench latency", "`engine=tensorrt`", "--engine tensorrt"),
        ("export", "the layer `conv 1` and ``x``", "the layer `conv 1` and ``x``"),
        (
            "search",
            "`search_learning_rate=…`, then `nodes=2` and `tune_storage`",
            "--set search_learning_rate=…, then --set nodes=2 and --set tune_storage",
        ),
        ("search", "`refit=True` or `no_setting=3`", "--set refit=True or `no_setting=3`"),
        (
            "search",
            "`assignments=momentum`: write `momentum=0.95`",
            "--set momentum: write --set momentum=0.95",
        ),
        (
            "search",
            'take `backbone_arguments={"patch": 8}`',
            """take --set 'backbone_arguments={"patch": 8}'""",
        ),
        ("export", "`momentum=0.95`", "`momentum=0.95`"),
        ("serve", "`delay=3` and `max_rows`", "--batch-delay 3 and --max-batch"),
    ],
)
def test_parameters_are_spelled_as_options(words: str, message: str, expected: str) -> None:
    assert with_options(message, command_of(words)) == expected


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ("bench latency", "write one: `export('RUN', out='a')`", "write one: dashdeploy export RUN --out a"),
        ("serve", "`export('RUN', trt=True)`", "dashdeploy export RUN --trt"),
        (
            "export",
            "`search(task='mnist1d', out='my run')`",
            "dashdeploy search --task mnist1d --out 'my run'",
        ),
        ("export", "`search(kernel_sizes=(3, 5))`", "dashdeploy search --kernel-sizes 3,5"),
        ("verify", "`serve('BUNDLE')`", "dashdeploy serve BUNDLE"),
        ("serve", "`paint('wall')` and `serve(wall=1)`", "`paint('wall')` and `serve(wall=1)`"),
        ("serve", "`export(RUN)` and `export(`", "`export(RUN)` and `export(`"),
        ("bench latency", "export it again with `trt=True`", "export it again with --trt"),
        ("tasks", "needs `data_dir`", "needs --data-dir"),
        ("search", "`target=ort-cpu` and `name`", "--target ort-cpu and --name"),
    ],
)
def test_calls_become_commands_and_other_parameters_those_of_export(
    words: str, message: str, expected: str
) -> None:
    assert with_options(message, command_of(words), command_of("")) == expected


def test_progress_and_results_are_spelled_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(app, ["bench", "latency", "--threads", "0"]).exit_code == 1
    Console().progress("longer with `seconds`")
    Console().result("longer with `seconds=5`", None)
    assert capsys.readouterr() == ("longer with --seconds 5\n", "longer with --seconds\n")


def test_every_command_can_be_spelled() -> None:
    """Only a `Command` says that it is the one that was run."""
    assert [path for path, command in leaves(command_of("")) if not isinstance(command, Command)] == []


def command_of(words: str) -> Any:
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    return command


def leaves(command: Any, path: str = "dashdeploy") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    for name, child in (children or {}).items():
        yield from leaves(child, f"{path} {name}")


@pytest.mark.parametrize(
    ("stage", "arguments", "parameters", "expected"),
    [
        (
            "search",
            [],
            {"task": "mnist1d", "out": Path("runs/a")},
            "dashdeploy search --task mnist1d --out runs/a",
        ),
        ("export", ["RUN"], {"trt_rtx": True}, "dashdeploy export RUN --trt-rtx"),
        (
            "export",
            [Path("my bundle")],
            {"trt": True, "engine_batches": (1, 4, 64), "triton_repository": Path("it's")},
            """dashdeploy export 'my bundle' --trt --engine-batches 1,4,64 --triton-repository 'it'"'"'s'""",
        ),
        ("export", ["RUN"], {"no_such_parameter": 1}, "`export('RUN', no_such_parameter=1)`"),
        ("dance", ["RUN"], {}, "`dance('RUN')`"),
    ],
)
def test_a_call_of_a_stage_becomes_its_command(
    stage: str, arguments: list[Any], parameters: dict[str, Any], expected: str
) -> None:
    call = stage_call(stage, *arguments, **parameters)
    said = with_options(f"finish with: {call}; or `engine=ort-cpu`", command_of("serve"), command_of(""))
    assert said == f"finish with: {expected}; or --engine ort-cpu"


def test_what_another_command_says_of_an_export_is_spelled_as_its_option() -> None:
    message = "write it again with `kserve` and `lowering=direct`, not `engine_batches`"
    expected = "write it again with --kserve and --lowering direct, not --engine-batches"
    assert with_options(message, command_of("verify"), command_of("")) == expected
    assert with_options(message, command_of("verify")) == message
