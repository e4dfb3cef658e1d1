"""A disk that is full: one line that says so, wherever it strikes, and a run that goes on once there is room."""

import pytest
import torch

from dashdeploy.errors import InputError
from dashdeploy.search.pipeline import search
from dashdeploy.search.run_writer import save_weights
from dashdeploy.search.staging.directory import staging_path

LIMITS = (0, 300, 3000, 12000, 24000)


def test_it_is_said_in_one_line_and_the_run_goes_on(waves_task, small, tmp_path, room_for):
    settings = small.model_copy(update={"search_epochs": 1, "retrain_epochs": 1})
    out = tmp_path / "run"
    for limit in LIMITS:
        with room_for(limit), pytest.raises(InputError) as caught:
            search(waves_task, settings, out, resume=True)
        said = str(caught.value)
        assert "\n" not in said and "File too large" in said and str(staging_path(out)) in said
        assert not out.exists()
    run = search(waves_task, settings, out, resume=True)
    expected = search(waves_task, settings, tmp_path / "whole")
    for name in ("architecture.json", "model.safetensors", "metrics.jsonl"):
        assert (run.path / name).read_bytes() == (expected.path / name).read_bytes()


def test_weights_leave_nothing_half_written(tmp_path, room_for):
    with room_for(1000), pytest.raises(InputError, match="File too large"):
        save_weights(tmp_path / "model.safetensors", {"a": torch.zeros(1000)})
    assert not list(tmp_path.iterdir())


def test_a_study_that_cannot_be_written_is_named(waves_task, small, tmp_path, room_for):
    settings = small.model_copy(
        update={"search_epochs": 1, "retrain_epochs": 1, "tune": "grid", "tune_epochs": 1, "width": 2}
    )
    with room_for(90_000), pytest.raises(InputError) as caught:
        search(waves_task, settings, tmp_path / "run")
    said = str(caught.value)
    assert "\n" not in said
    assert "the study of `tune` at sqlite:///" in said, said
