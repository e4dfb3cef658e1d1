"""What a run does with the time of a training that it does not need."""

import json

import pytest

from dashdeploy.search import pipeline, prepare
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection import shortlist


@pytest.mark.parametrize(("original", "epochs"), [(True, 6), (False, 3)])
def test_the_original_kernels_are_trained_for_as_long_as_both_networks(
    waves_task, small, tmp_path, monkeypatch, original, epochs
):
    """Of the 12 epochs of a run with time enough, a plan has three; also after a stop behind the short list."""
    asked = small.model_copy(update={"search_epochs": 1, "shortlist": 2, "shortlist_epochs": 1})
    plan = TimePlan(asked.model_copy(update={"retrain_epochs": 3}), {})
    monkeypatch.setattr(prepare, "plan_of_run", lambda *_: plan)
    monkeypatch.setattr(shortlist, "best", lambda rows, *_: len(rows) - 1 if original else 0)

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "train_network", stop)
        search(waves_task, asked, tmp_path / "run")
    run = search(waves_task, asked, tmp_path / "run", resume=True)
    retrained, backbone = (
        json.loads((run.path / "checkpoints" / f"{name}.json").read_text())
        for name in ("retrain", "backbone")
    )
    assert run.config["settings"]["retrain_epochs"] == 3
    assert retrained["epochs"] == epochs
    assert backbone.get("same_as") == ("retrain" if original else None)
    assert original or backbone["epochs"] == epochs
