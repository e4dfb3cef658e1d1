"""Parameters in the library's messages become the options of the command that was run."""

from __future__ import annotations

import pytest
import typer

from dashdeploy.cli.app import app
from dashdeploy.cli.parameters import with_options


@pytest.mark.parametrize(
    ("words", "message", "expected"),
    [
        ("search", "`out` exists; go on with `resume=True`", "--out exists; go on with --resume"),
        ("search", "`kernel_sizes=1,0`: no", "--kernel-sizes 1,0: no"),
        ("search", "`max_seconds=3` is short; `latency_target`", "--max-time 3 is short; --target"),
        ("search", "`separable=False` and `separable=True`", "--dense and --separable"),
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
