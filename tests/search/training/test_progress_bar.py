"""What a terminal shows of a phase."""

import io

from rich.console import Console

from dashdeploy.progress import to_stderr
from dashdeploy.search.config.phases import phases
from dashdeploy.search.supernet.networks import supernet_of
from dashdeploy.search.training.lightning_module import PhaseModule
from dashdeploy.search.training.progress_bar import PhaseProgress, leaders
from dashdeploy.search.training.trainer import suppress_lightning_logging, trainer_of


def test_a_terminal_shows_the_leading_kernels_and_the_time_left(waves_task, small):
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    few = small.model_copy(update={"search_epochs": 2})
    phase = phases(few)["search"]
    with suppress_lightning_logging():
        module = PhaseModule(supernet_of(waves_task, few)[0], waves_task, phase, few)
        trainer = trainer_of(
            few, phase, [PhaseProgress(to_stderr, screen)], logger=False, enable_checkpointing=False
        )
        trainer.fit(module)
    shown = screen.file.getvalue()
    assert "searching kernels" in shown
    assert "2/2" in shown
    assert "entropy of alpha" in shown
    assert "blocks.2.convs.2" in shown


def test_the_table_of_leaders():
    console = Console(file=io.StringIO(), width=100)
    record = {"kernels": [(3, 1), (9, 15)], "entropy": [0.25, 1.0], "latency_ms": 1.25}
    console.print(leaders(["stem", "body"], record))
    lines = [line.split() for line in console.file.getvalue().splitlines()]
    assert lines[1:] == [
        ["stem", "3", "1", "0.250"],
        ["body", "9", "15", "1.000"],
        ["expected", "latency", "1.25", "ms"],
    ]


def test_anything_else_is_told_lines_even_on_a_terminal(waves_task, small):
    screen, said = Console(file=io.StringIO(), force_terminal=True, width=120), []
    few = small.model_copy(update={"search_epochs": 2})
    phase = phases(few)["search"]
    with suppress_lightning_logging():
        module = PhaseModule(supernet_of(waves_task, few)[0], waves_task, phase, few)
        callbacks = [PhaseProgress(said.append, screen)]
        trainer_of(few, phase, callbacks, logger=False, enable_checkpointing=False).fit(module)
    assert screen.file.getvalue() == ""
    assert [line.partition(" loss")[0] for line in said] == [
        "searching kernels: epoch 1/2",
        "searching kernels: epoch 2/2",
    ]
