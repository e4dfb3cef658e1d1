"""What a step takes, by a clock that the test holds."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dashdeploy.search import pipeline, time_plan
from dashdeploy.search import step_time as module
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.step_time import StepSeconds, computing_with, measured_steps, step_seconds

NETWORKS = 3


def held_clock(monkeypatch, durations):
    """Each duration is a step's; further looks at the clock are an error."""
    clock = iter([at for duration in durations for at in (0.0, duration)])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    return clock


@pytest.mark.parametrize(
    ("durations", "expected"),
    [
        ([0.9, 0.3, 0.2, 0.4], 0.2),  # the fastest of three, after one that warms up
        ([9.0, 3.0], 3.0),  # slow steps are not repeated
        ([0.01] + 24 * [0.02] + [0.011], 0.011),  # quick ones are, for half a second
    ],
)
def test_steps_are_measured_and_nothing_is_left_behind(waves_task, small, monkeypatch, durations, expected):
    clock = held_clock(monkeypatch, NETWORKS * durations)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with computing_with(1):
        steps = measured_steps(waves_task, small)
    assert torch.equal(before, torch.get_rng_state())
    assert steps == [StepSeconds(expected, expected, expected)]
    assert next(clock, None) is None


def test_threads_that_wait_for_each_other_are_compared_with_one(waves_task, small, monkeypatch):
    """In turns, so that both numbers of threads see the same load; torch has as many as before afterwards."""
    seen, count, change = [], torch.get_num_threads(), torch.set_num_threads

    def noted(threads):
        seen.append(threads)
        change(threads)

    monkeypatch.setattr(module.torch, "set_num_threads", noted)
    held_clock(monkeypatch, NETWORKS * [2.0, 0.1, 1.5, 0.05, 1.4, 0.06])
    with computing_with(2):
        steps = measured_steps(waves_task, small)
        assert torch.get_num_threads() == 2
    assert steps == [StepSeconds(1.4, 1.4, 1.4), StepSeconds(0.05, 0.05, 0.05, threads=1)]
    assert seen[1:-1:2] == NETWORKS * 3 * [2, 1]  # set and set back
    assert torch.get_num_threads() == count


def test_a_step_is_measured_without_dead_taps(waves_task, small, monkeypatch):
    """As it is trained: with them, large kernels on small images took 17 times as long."""
    shape, classes = waves_task.train.inputs.shape, 7

    def multiply_adds(kernel_size):
        conv = nn.Conv1d(shape[1], 8, kernel_size, padding="same", dilation=shape[2])
        network = nn.Sequential(conv, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, classes))
        held_clock(monkeypatch, [3.0, 1.0])
        with FlopCounterMode(display=False) as counter:
            step_seconds(network, waves_task, small, [1])
        return counter.get_total_flops()

    assert multiply_adds(9) == multiply_adds(1)


def test_a_run_keeps_its_number_of_threads(waves_task, tmp_path, monkeypatch):
    """A resumed one too, without another measurement: other numbers of threads add up in another order."""
    steps = [StepSeconds(1.0, 1.0, 1.0), StepSeconds(0.01, 0.01, 0.01, threads=1)]
    asked = SearchSettings.preset(
        "quick", width=4, kernel_sizes=(3,), dilations=(1, 3), search_steps=10, retrain_steps=10, shortlist=1,
        devices="cpu",
    )  # fmt: skip
    seen = []

    def stop(*_, **__):
        seen.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_train", stop)
    with computing_with(2):
        for resume, measured in ((False, steps), (True, [])):
            monkeypatch.setattr(time_plan, "measured_steps", lambda *_, known=measured: known)
            with pytest.raises(KeyboardInterrupt):
                search(waves_task, asked, tmp_path / "run", resume=resume)
        assert torch.get_num_threads() == 2
    assert seen == [1, 1]


@pytest.mark.parametrize(
    ("few", "expected"),
    [
        (0.5, 4.0),  # eight times as many samples would take four seconds, which is not waited for
        (0.2, 1.0),  # of a quick one, a whole batch is timed
    ],
)
def test_a_larger_backbone_is_not_waited_for(waves_task, small, monkeypatch, few, expected):
    settings = small.model_copy(update={"searched_arguments": {"patch": 2}})
    assert settings.batch_size == 16
    of_others = 2 * [0.3, 0.2, 0.2, 0.2]
    whole = [2.0, 1.0, 1.5] if few == 0.2 else []
    clock = held_clock(monkeypatch, [*of_others, 2 * few, few, few, few, *whole])
    with computing_with(1):
        steps = measured_steps(waves_task, settings)
    assert steps == [StepSeconds(0.2, 0.2, expected)]
    assert next(clock, None) is None
