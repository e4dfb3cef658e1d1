"""Whether the winner of a short list is retrained by branches, and what comes of it."""

import dataclasses
import json

import pytest
import torch

from dashdeploy.artifacts.run import load_architecture
from dashdeploy.backbones.build import build_backbone
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.inspect.shortlist import shortlist_rows
from dashdeploy.ops.training.reparameterization import reparameterize
from dashdeploy.search import pipeline, prepare
from dashdeploy.search.config.phases import TimePlan, phases
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection import shortlist
from dashdeploy.search.selection.branches import BRANCHED, asks_for_branches, check_branches
from dashdeploy.search.selection.shortlist import comparisons
from dashdeploy.search.training.lightning_module import PhaseModule
from dashdeploy.search.training.train_phase import train_network


@pytest.mark.parametrize(
    ("asks", "changes", "of_task"),
    [
        (True, {}, {}),
        (True, {}, {"kind": "multi-label"}),
        (False, {"reparameterize": True}, {}),
        (False, {"reparameterize": False}, {}),
        (False, {"shortlist": 1}, {}),
        (False, {"latency_weight": 0.5}, {}),
        (False, {"backbone": "tcn"}, {}),
        (False, {"backbone": "tests.search.test_own_backbone:anything"}, {}),
        (False, {}, {"kind": "regression"}),
        (False, {}, {"dense": True}),
    ],
)
def test_when_a_run_asks_for_branches(waves_task, asks, changes, of_task):
    task = dataclasses.replace(waves_task, **of_task)
    assert asks_for_branches(task, SearchSettings(**changes)) == asks


def test_every_backbone_that_is_asked_for_has_convolutions_with_branches():
    for name in BRANCHED:
        network = build_backbone(name, {"in_channels": 2, "outputs": 3})
        before = set(network.state_dict())
        reparameterize(network)
        assert set(network.state_dict()) != before, name


def test_branches_of_a_backbone_that_has_none_are_refused(waves_task, small, tmp_path):
    wanted = small.model_copy(update={"reparameterize": True})
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check_branches(waves_task, wanted)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(
        InputError, match=r"^reparameterize = true: no convolution of the backbone tcn can learn"
    ):
        search(waves_task, wanted.model_copy(update={"backbone": "tcn"}), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    check_branches(waves_task, small.model_copy(update={"backbone": "tcn"}))


def test_only_the_found_network_has_branches_when_it_is_retrained(waves_task):
    for asked, wanted in ((True, True), (False, False), (None, False)):
        named = phases(run_settings(waves_task, SearchSettings(reparameterize=asked, ensemble=2)))
        branched = {name: phase.reparameterize for name, phase in named.items()}
        assert branched == {"search": False, "retrain": wanted, "retrain-2": wanted, "backbone": False}


def test_branches_are_taken_where_they_have_the_smaller_loss(choose):
    losses = {"one": [0.5, 0.6], "one by branches": [0.3, 0.7], "towers by branches": [0.5, 0.7]}
    chosen = choose(losses, reparameterize=None)
    assert chosen.branches is True and chosen.listed.architecture.towers is None
    row = chosen.listed.comparison["branches"]
    assert row["chosen"] and row["gain"] == pytest.approx(0.05) and row["folds"] == 2
    assert row["loss"] == pytest.approx(0.5) and row["validation"] == pytest.approx(0.5)
    # Towers are trained as the winner was, and compared with it.
    trained = [name for name, _ in choose.trained]
    assert trained == ["one"] * 4 + ["one by branches"] * 2 + ["towers by branches"] * 2
    assert chosen.listed.comparison["towers"]["gain"] == pytest.approx(-0.1)


def test_the_winner_stays_as_it_is_where_branches_have_the_larger_loss(choose):
    losses = {"one": [0.5, 0.6], "one by branches": [0.6, 0.6], "towers": [0.3, 0.4]}
    chosen = choose(losses, reparameterize=None)
    comparison = chosen.listed.comparison
    assert chosen.branches is False and chosen.listed.architecture.towers.count == 2
    assert not comparison["branches"]["chosen"] and comparison["towers"]["chosen"]
    assert [name for name, _ in choose.trained] == ["one"] * 4 + ["one by branches"] * 2 + ["towers"] * 2
    said = "short list: it is retrained without branches; its loss is better by 0.0500"
    assert [each for each in choose.said if "branches" in each and "fold" not in each] == [said]
    assert chosen.listed.validation() == {"searched": pytest.approx(0.65), "backbone": pytest.approx(0.45)}


def test_no_comparison_begins_after_the_end_of_the_list(choose):
    chosen = choose({"one": [0.5, 0.6]}, seconds=0.0, reparameterize=None)
    assert choose.trained == [("one", 0), ("one", 0)]  # what was found, and the original kernels
    row = chosen.listed.comparison["branches"]
    assert chosen.branches is False and not row["chosen"]
    assert (row["folds"], row["loss"], row["gain"]) == (0, None, None)
    said = "short list: it is retrained without branches; there is nothing to compare them with"
    assert said in choose.said


def test_a_comparison_that_diverges_changes_nothing(choose):
    losses = {"one": [0.5, 0.6], "one by branches": [0.1, None], "towers": [None, 0.1]}
    chosen = choose(losses, reparameterize=None)
    assert chosen.branches is False and chosen.listed.architecture.towers is None
    assert chosen.listed.validation()["searched"] == pytest.approx(0.45)


def test_what_was_asked_for_is_not_compared(choose, waves_task, small):
    settings = small.model_copy(update={"shortlist": 2, "towers": 1, "reparameterize": True})
    assert comparisons(waves_task, settings) == []
    chosen = choose({"one by branches": [0.5, 0.6]}, towers=1, reparameterize=True)
    assert chosen.branches is True and "branches" not in chosen.listed.comparison
    # A short list of an older version knows of none.
    left_open = small.model_copy(update={"reparameterize": None})
    assert chosen.listed.applied(left_open).reparameterize is False


def test_inspect_shows_both_comparisons():
    row = {"candidate": 0, "kernels": [[3, 1]], "validation": 0.5, "loss": 1.0, "gain": None}
    later = {**row, "gain": 0.25, "standard_error": 0.1}
    content = {
        "chosen": 0,
        "candidates": [row],
        "branches": {**later, "chosen": True},
        "towers": {**later, "towers": 2, "chosen": False},
    }
    assert [shown[0] for shown in shortlist_rows(content)] == [
        "the original kernels, chosen",
        "the chosen by branches, gain over it, chosen",
        "2 towers of the chosen, gain over it",
    ]


def test_a_run_by_branches_is_stored_like_any_other_and_goes_on_after_a_stop(
    waves_task, small, tmp_path, monkeypatch
):
    """Killed in the middle of its retraining, whose checkpoint has the branches."""
    changes = {"search_epochs": 1, "retrain_epochs": 3, "reparameterize": True}
    settings = small.model_copy(update=changes)
    whole = search(waves_task, settings, tmp_path / "whole")
    ended = PhaseModule.on_validation_epoch_end

    def stop(self):
        ended(self)
        if self.phase.name == "retrain" and self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PhaseModule, "on_validation_epoch_end", stop)
        search(waves_task, settings, tmp_path / "killed")
    killed = search(waves_task, settings, tmp_path / "killed", resume=True)
    for name in ("architecture.json", "model.safetensors", "backbone.safetensors"):
        assert (killed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    plain = search(
        waves_task, small.model_copy(update=changes | {"reparameterize": False}), tmp_path / "plain"
    )
    by_branches, without = (Run.load(run.path).searched_model() for run in (whole, plain))
    assert by_branches.state_dict().keys() == without.state_dict().keys()
    assert not torch.equal(by_branches.blocks[0].convs[0].weight, without.blocks[0].convs[0].weight)
    assert (whole.path / "backbone.safetensors").read_bytes() == (
        plain.path / "backbone.safetensors"
    ).read_bytes()
    assert load_architecture(whole.path) == load_architecture(plain.path)


def test_what_was_found_out_about_branches_is_kept_over_a_stop(waves_task, small, tmp_path, monkeypatch):
    """Killed between the two trainings, so that the retrained network and the backbone come from two calls."""
    changes = {"search_epochs": 1, "retrain_epochs": 2, "shortlist": 2, "shortlist_epochs": 2}
    asked = small.model_copy(update=changes | {"reparameterize": None, "towers": 1, "shortlist_by": "loss"})
    monkeypatch.setattr(shortlist, "comparisons", lambda *_: ["branches"])
    judged = shortlist.judged

    def in_favor(task, settings, candidate, fold, folder, phase):
        score = judged(task, settings, candidate, fold, folder, phase)
        better = score.loss.model_copy(update={"value": 0.0})
        return score.model_copy(update={"loss": better}) if phase.reparameterize else score

    monkeypatch.setattr(shortlist, "judged", in_favor)
    whole = search(waves_task, asked, tmp_path / "whole")
    phases_seen = []

    def stop(build, task, phase, *rest, **named):
        phases_seen.append((phase.name, phase.reparameterize))
        if stop.at == phase.name:
            raise KeyboardInterrupt
        return train_network(build, task, phase, *rest, **named)

    monkeypatch.setattr(pipeline, "train_network", stop)
    for at in ("retrain", "backbone"):
        stop.at = at
        with pytest.raises(KeyboardInterrupt):
            search(waves_task, asked, tmp_path / "killed", resume=at != "retrain")
    stop.at = None
    killed = search(waves_task, asked, tmp_path / "killed", resume=True)
    assert phases_seen == [("retrain", True)] * 2 + [("backbone", False)] * 2
    for name in ("shortlist.json", "model.safetensors", "backbone.safetensors", "config.json"):
        assert (killed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert killed.config["settings"]["reparameterize"] is None


@pytest.mark.parametrize("epochs", [3, 12])
def test_original_kernels_by_branches_are_not_the_backbone_where_there_is_time_for_both(
    waves_task, small, tmp_path, monkeypatch, epochs
):
    """Where there is not, one training of twice the steps serves for both; 12 epochs are all."""
    changes = {"search_epochs": 1, "shortlist": 2, "shortlist_epochs": 1, "refit": True}
    asked = small.model_copy(update=changes | {"reparameterize": True})
    plan = TimePlan(asked.model_copy(update={"retrain_epochs": epochs}), {})
    monkeypatch.setattr(prepare, "plan_of_run", lambda *_: plan)
    monkeypatch.setattr(shortlist, "best", lambda rows, *_: len(rows) - 1)
    trained = []

    def noted(build, task, phase, *rest, **named):
        trained.append((phase.name, phase.epochs, phase.reparameterize))
        return train_network(build, task, phase, *rest, **named)

    monkeypatch.setattr(pipeline, "train_network", noted)
    run = search(waves_task, asked, tmp_path / "run")
    marked = json.loads((run.path / "checkpoints" / "backbone.json").read_bytes())
    by_branches = json.loads((run.path / "shortlist.json").read_bytes())["candidates"][-1]["validation"]
    assert run.metrics["searched"]["validation"] == by_branches
    assert run.metrics["backbone"]["validation"] == (by_branches if epochs == 3 else None)
    if epochs == 3:
        assert trained == [("retrain", 6, True)] and marked["same_as"] == "retrain"
    else:
        assert trained == [("retrain", 12, True), ("backbone", 12, False)] and "same_as" not in marked
