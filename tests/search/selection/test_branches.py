"""Whether the winner of a short list is retrained by branches, and what comes of it."""

import dataclasses
import importlib
import json
import sys

import pytest
import torch

from dashdeploy.artifacts.run import load_architecture
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.inspect.shortlist import shortlist_rows
from dashdeploy.search import pipeline
from dashdeploy.search.config.phases import phases
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection.branches import BRANCHED, asks_for_branches, check_branches
from dashdeploy.search.selection.choice import Score
from dashdeploy.search.selection.paired_difference import Figure
from dashdeploy.search.selection.shortlist import Shortlisted, choose_from_shortlist, comparisons
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
    build = importlib.import_module("dashdeploy.backbones.build")
    reparameterize = importlib.import_module("dashdeploy.ops.training.reparameterization").reparameterize
    for name in BRANCHED:
        network = build.build_backbone(name, {"in_channels": 2, "outputs": 3})
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


@pytest.fixture
def architecture(finished):
    """Wide enough to be divided."""
    arguments = {**finished.architecture.arguments, "width": 24}
    return finished.architecture.model_copy(update={"arguments": arguments})


@pytest.fixture
def choose(waves_task, small, architecture, tmp_path, monkeypatch):
    """Choose by losses that are given by what is trained, one per fold; says what was trained."""
    (tmp_path / "checkpoints").mkdir()
    trained, said = [], []

    def run(losses, **changes):
        def instead(task, settings, candidate, fold, folder, phase):  # noqa: ARG001
            name = "towers" if candidate.towers else "one"
            assert phase.reparameterize == bool(settings.reparameterize)
            name += " by branches" * phase.reparameterize
            trained.append(name)
            value = losses[name][fold]
            figure = Figure(value=value, without=(value,) * 30)
            return Score(seconds=1.0, loss=figure, metric=figure.model_copy(update={"value": 1 - value}))

        monkeypatch.setattr(sys.modules[choose_from_shortlist.__module__], "judged", instead)
        open_ones = {"towers": None, "reparameterize": None, "shortlist_by": "loss"}
        settings = small.model_copy(
            update={"shortlist": 2, "shortlist_folds": 2, "shortlist_parts": 2, **open_ones, **changes}
        )
        listed = choose_from_shortlist(waves_task, settings, architecture, tmp_path, progress=said.append)
        return listed, listed.applied(settings).reparameterize

    run.trained, run.said = trained, said
    return run


def test_branches_are_taken_where_they_have_the_smaller_loss(choose):
    losses = {"one": [0.5, 0.6], "one by branches": [0.3, 0.7], "towers by branches": [0.5, 0.7]}
    listed, branches = choose(losses)
    assert branches is True and listed.architecture.towers is None
    row = listed.comparison["branches"]
    assert row["chosen"] and row["gain"] == pytest.approx(0.05) and row["folds"] == 2
    assert row["loss"] == pytest.approx(0.5) and row["validation"] == pytest.approx(0.5)
    # Towers are trained as the winner was, and compared with it.
    assert choose.trained == ["one"] * 4 + ["one by branches"] * 2 + ["towers by branches"] * 2
    assert listed.comparison["towers"]["gain"] == pytest.approx(-0.1)


def test_the_winner_stays_as_it_is_where_branches_have_the_larger_loss(choose):
    losses = {"one": [0.5, 0.6], "one by branches": [0.6, 0.6], "towers": [0.3, 0.4]}
    listed, branches = choose(losses)
    assert branches is False and listed.architecture.towers.count == 2
    assert not listed.comparison["branches"]["chosen"] and listed.comparison["towers"]["chosen"]
    assert choose.trained == ["one"] * 4 + ["one by branches"] * 2 + ["towers"] * 2
    said = "short list: it is retrained without branches; its loss is better by 0.0500"
    assert [each for each in choose.said if "branches" in each and "fold" not in each] == [said]
    assert listed.validation() == {"searched": pytest.approx(0.65), "backbone": pytest.approx(0.45)}


def test_what_was_asked_for_is_not_compared(choose, waves_task, small):
    settings = small.model_copy(update={"shortlist": 2, "towers": 1, "reparameterize": True})
    assert comparisons(waves_task, settings) == []
    listed, branches = choose({"one by branches": [0.5, 0.6]}, towers=1, reparameterize=True)
    assert branches is True and "branches" not in listed.comparison
    # A run of an older version knows of none.
    assert listed.applied(small.model_copy(update={"reparameterize": None})).reparameterize is False
    assert isinstance(listed, Shortlisted)


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
    module = sys.modules["dashdeploy.search.training.lightning_module"].PhaseModule
    ended = module.on_validation_epoch_end

    def stop(self):
        ended(self)
        if self.phase.name == "retrain" and self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "on_validation_epoch_end", stop)
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


@pytest.mark.parametrize("epochs", [3, 12])
def test_original_kernels_by_branches_are_not_the_backbone_where_there_is_time_for_both(
    waves_task, small, tmp_path, monkeypatch, epochs
):
    """Where there is not, one training of twice the steps serves for both; 12 epochs are all."""
    phase_time = importlib.import_module("dashdeploy.search.config.phases")
    prepare = importlib.import_module("dashdeploy.search.prepare")
    shortlist = sys.modules[choose_from_shortlist.__module__]
    asked = small.model_copy(
        update={"search_epochs": 1, "shortlist": 2, "shortlist_epochs": 1, "reparameterize": True}
    )
    plan = phase_time.TimePlan(asked.model_copy(update={"retrain_epochs": epochs}), {})
    monkeypatch.setattr(prepare, "plan_of_run", lambda *_: plan)
    monkeypatch.setattr(shortlist, "best", lambda rows, *_: len(rows) - 1)
    trained = []

    def noted(build, task, phase, *rest, **named):
        trained.append((phase.name, phase.epochs, phase.reparameterize))
        return train_network(build, task, phase, *rest, **named)

    monkeypatch.setattr(pipeline, "train_network", noted)
    run = search(waves_task, asked, tmp_path / "run")
    marked = json.loads((run.path / "checkpoints" / "backbone.json").read_bytes())
    if epochs == 3:
        assert trained == [("retrain", 6, True)] and marked["same_as"] == "retrain"
    else:
        assert trained == [("retrain", 12, True), ("backbone", 12, False)] and "same_as" not in marked
