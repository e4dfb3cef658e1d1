"""Parameters in the library's messages become the options of the command that was run."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from dashdeploy.cli.app import app
from dashdeploy.cli.parameters import running, spelled, with_options
from dashdeploy.errors import stage_call


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ("search", "`out` exists; go on with `resume=True`", "--out exists; go on with --resume"),
        ("search", "`kernel_sizes=1,0`: no", "--kernel-sizes 1,0: no"),
        ("search", "`max_seconds=3` is short; `latency_target`", "--max-time 3 is short; --target"),
        ("search", "`separable=False` and `separable=True`", "--dense and --separable"),
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
        ("export", "`momentum=0.95`", "`momentum=0.95`"),
        ("export", "`kernel_sizes=1,0` is no option of export", "`kernel_sizes=1,0` is no option of export"),
        ("export", "`input_shapes` and `trt_rtx=True`", "--input-shape and --trt-rtx"),
        ("bench latency", "`engine=tensorrt`", "--engine tensorrt"),
        ("export", "the layer `conv 1` and ``x``", "the layer `conv 1` and ``x``"),
    ],
)
def test_parameters_are_spelled_as_options(words: str, message: str, expected: str) -> None:
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    assert with_options(message, command) == expected


ROOT = typer.main.get_command(app)


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
def test_a_call_of_a_stage_becomes_its_command(stage, arguments, parameters, expected) -> None:
    call = stage_call(stage, *arguments, **parameters)
    said = with_options(f"finish with: {call}; or `engine=ort-cpu`", ROOT.commands["serve"], ROOT)
    assert said == f"finish with: {expected}; or --engine ort-cpu"


def test_what_another_command_says_of_an_export_is_spelled_as_its_option() -> None:
    message = "write it again with `kserve` and `lowering=direct`, not `engine_batches`"
    expected = "write it again with --kserve and --lowering direct, not --engine-batches"
    assert with_options(message, ROOT.commands["verify"], ROOT) == expected
    assert with_options(message, ROOT.commands["verify"]) == message


def test_text_is_spelled_as_the_command_that_runs_has_it() -> None:
    assert spelled("costs by `tune=estimate`") == "costs by `tune=estimate`"
    with running(ROOT.commands["inspect"], ROOT):
        assert spelled("costs by `tune=estimate`") == "costs by --tune estimate"
    assert spelled("costs by `tune=estimate`") == "costs by `tune=estimate`"
