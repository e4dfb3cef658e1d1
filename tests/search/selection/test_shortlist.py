"""The short list: what is on it, how it is judged, and that an interrupted one goes on."""

import dataclasses
import json

import pytest
import torch

from dashdeploy.artifacts.run import Architecture, LayerArchitecture, load_architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.data.task import Split
from dashdeploy.errors import InputError
from dashdeploy.search import pipeline, run_writer
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import join, search
from dashdeploy.search.run_writer import SHORTLISTED, RunWriter
from dashdeploy.search.selection import short_training
from dashdeploy.search.selection import shortlist as module
from dashdeploy.search.selection.candidates import shortlist
from dashdeploy.search.selection.choice import Score, compare
from dashdeploy.search.selection.cross_validation import folds_of
from dashdeploy.search.selection.paired_difference import Figure, figure_of
from dashdeploy.search.selection.shortlist import choose_from_shortlist
from dashdeploy.search.staging.directory import phase_result, staging_path
from dashdeploy.search.training.lightning_module import PhaseModule

ORIGINAL = [(8, 1), (5, 1), (3, 1)] * 3


@pytest.fixture
def found(finished):
    """The architecture of a run, with layers that decided ever less."""
    layers = [
        layer.model_copy(
            update={"alpha": [[1 - 0.08 * i, 0.08 * i], [0.0, 0.0]], "kernel_size": 3, "dilation": 3}
        )
        for i, layer in enumerate(finished.architecture.layers)
    ]
    return finished.architecture.model_copy(update={"layers": layers})


def kernels(architecture: Architecture) -> list[tuple[int, int]]:
    return [(layer.kernel_size, layer.dilation) for layer in architecture.layers]


def test_what_is_on_the_list(found):
    listed = shortlist(found, 9)
    # alpha prefers kernel 3, and the dilation 1 in the mean over layers: 0.68 against 0.32.
    assert (
        [kernels(each) for each in listed]
        == [
            [(3, 3)] * 9,  # what was found
            [(3, 1)] * 9,  # what all layers together favour
            [(4, 1)] * 9,  # the largest kernel with each dilation, the likeliest first
            [(4, 3)] * 9,
            [(3, 3)] * 4 + ORIGINAL[4:],  # the first layers have the least entropy
            ORIGINAL,
        ]
    )
    assert listed[0] == found
    assert [layer.alpha for layer in listed[-1].layers] == [layer.alpha for layer in found.layers]


def test_a_short_list_has_what_was_found_and_the_original_kernels(found):
    whole = [kernels(each) for each in shortlist(found, 9)]
    for count in range(2, 7):
        assert [kernels(each) for each in shortlist(found, count)] == [*whole[: count - 1], ORIGINAL]
    assert shortlist(found, 1) == [found]
    favourite = shortlist(found, 3)[1]
    assert kernels(shortlist(favourite, 3)[1]) == [(4, 1)] * 9  # what is the same is listed once
    original = shortlist(found, 2)[1]
    assert shortlist(original, 2) == [original]


def test_every_sample_is_held_out_once_and_classes_are_divided_evenly(waves_task):
    parts = list(folds_of(waves_task, 3, seed=0))
    assert [(len(part.train.targets), len(part.validation.targets)) for part in parts] == [(60, 30)] * 3
    held = torch.cat([part.validation.inputs for part in parts])
    whole = torch.cat([waves_task.train.inputs, waves_task.validation.inputs])
    assert sorted(held.sum((1, 2)).tolist()) == sorted(whole.sum((1, 2)).tolist())
    for part in parts:
        assert part.validation.targets.bincount().tolist() == [10, 10, 10]
        assert part.test is waves_task.test
    assert list(folds_of(waves_task, 1, seed=0)) == [waves_task]


def scored(*right, loss=1.0):
    """A score whose metric is the share of what is right."""
    metric = figure_of(
        lambda values, _: float(values.mean()), torch.tensor(right).double(), torch.zeros(len(right))
    )
    return Score(seconds=1.0, loss=Figure(value=loss, without=(loss,) * len(right)), metric=metric)


@pytest.fixture
def choose(waves_task, small, found, tmp_path, monkeypatch):
    """Choose by figures that are given instead of trained; says what was asked for, in order."""
    (tmp_path / "checkpoints").mkdir()
    asked, said = [], []

    def run(score, *, seconds=None, **changes):
        def instead(task, settings, candidate, fold, folder, epochs):  # noqa: ARG001 - trained elsewhere in this file
            asked.append((kernels(candidate), fold))
            return score(kernels(candidate), fold)

        monkeypatch.setattr(module, "judged", instead)
        settings = small.model_copy(update={"shortlist": 3, **changes})
        chosen = RunWriter(tmp_path).value(
            SHORTLISTED,
            lambda: choose_from_shortlist(
                waves_task, settings, found, tmp_path, seconds=seconds, progress=said.append
            ),
        )
        return kernels(chosen.architecture), json.loads((tmp_path / "shortlist.json").read_text())

    run.asked, run.said, run.folder = asked, said, tmp_path
    return run


def test_a_candidate_has_to_be_surely_better_than_the_original_kernels(choose, found):
    def score(candidate, fold):  # noqa: ARG001
        if candidate == ORIGINAL:
            return scored(1.0, 0.0, 0.0, 0.0)
        return scored(1.0, 1.0, 0.0, 0.0) if candidate == kernels(found) else scored(0.0, 0.0, 1.0, 0.0)

    # Differences 0, 1, 0, 0: their mean is 0.25, and the standard error of it 0.5 / 2.
    chosen, content = choose(score, shortlist_margin=1.0)
    assert chosen == ORIGINAL and content["chosen"] == 2
    assert content["candidates"][0]["gain"] == pytest.approx(0.25)
    assert content["candidates"][0]["standard_error"] == pytest.approx(0.25)
    assert content["candidates"][2]["gain"] is None
    assert (content["by"], content["margin"]) == ("metric", 1.0)
    assert choose.said[-1].endswith("no candidate has a better accuracy by more than 1 standard error")


def test_a_smaller_margin_lets_it_win_and_none_is_the_best_figure(choose, found):
    def score(candidate, fold):  # noqa: ARG001
        return scored(1.0, float(candidate == kernels(found)), 0.0, 0.0)

    assert choose(score, shortlist_margin=0.9)[0] == kernels(found)
    assert choose.said[-1].endswith("original kernels by 0.2500, standard error 0.2500")
    (choose.folder / "checkpoints" / "shortlist.json").unlink()
    assert choose(score, shortlist_margin=0.0)[0] == kernels(found)


def test_a_lead_of_a_whole_standard_error_is_not_more_than_it(choose, found):
    """One of three folds differs: the mean of the differences is their standard error, but for rounding."""

    def score(candidate, fold):
        lead = (0.0073 if fold == 1 else 1e-8) if candidate == kernels(found) else 0.0
        value = 0.955 + lead
        metric = Figure(value=value, without=(value, value))
        return Score(seconds=1.0, loss=metric, metric=metric)

    chosen, content = choose(score, shortlist_folds=3)
    row = content["candidates"][0]
    assert row["standard_error"] < row["gain"] < row["standard_error"] + 1e-7
    assert chosen == ORIGINAL


def test_by_loss_less_is_better(choose, found):
    def score(candidate, fold):  # noqa: ARG001
        return scored(1.0, 0.0, loss=0.5 if candidate == kernels(found) else 1.0)

    chosen, content = choose(score, shortlist_by="loss")
    assert chosen == kernels(found)
    assert [row["gain"] for row in content["candidates"]] == [0.5, 0.0, None]


@pytest.mark.parametrize(
    ("losses", "gain", "error", "wins"),
    [((0.0, 0.0, 0.0, 1.0), 0.75, 0.25, True), ((0.0, 0.0, 1.0, 1.0), 0.5, 3**-0.5 / 2, False)],
)
def test_by_default_a_loss_that_leads_by_two_standard_errors_decides(
    choose, found, losses, gain, error, wins
):
    """Also where as many samples are right; without a fold that differs, the error is that over samples."""
    default = {name: getattr(SearchSettings(), name) for name in ("shortlist_by", "shortlist_margin")}

    def score(candidate, fold):  # noqa: ARG001
        loss = scored(*(losses if candidate == kernels(found) else (1.0, 1.0, 1.0, 1.0))).metric
        return Score(seconds=1.0, loss=loss, metric=scored(1.0, 0.0, 1.0, 0.0).metric)

    chosen, content = choose(score, **default)
    assert chosen == (kernels(found) if wins else ORIGINAL)
    assert content["candidates"][0]["gain"] == pytest.approx(gain)
    assert content["candidates"][0]["standard_error"] == pytest.approx(error)
    assert (content["by"], content["margin"]) == ("loss", 2.0)


def test_an_interrupted_list_goes_on(choose):
    def stopped(candidate, fold):
        if len(choose.asked) == 3:
            raise KeyboardInterrupt
        return score(candidate, fold)

    def score(candidate, fold):  # noqa: ARG001
        return scored(1.0, float(candidate == ORIGINAL))

    with pytest.raises(KeyboardInterrupt):
        choose(stopped, shortlist_folds=2)
    chosen, content = choose(score, shortlist_folds=2)
    # The original kernels first, then the others, fold by fold; what was being trained is trained again.
    assert [fold for _, fold in choose.asked] == [0, 0, 0, 0, 1, 1, 1]
    assert choose.asked[0] == (ORIGINAL, 0) and choose.asked[2] == choose.asked[3]
    assert chosen == ORIGINAL
    assert (content["folds"], content["chosen"]) == (2, 2)
    assert [row["validation"] for row in content["candidates"]] == [0.5, 0.5, 1.0]
    marked = phase_result(choose.folder, "shortlist")
    assert (marked["chosen"], marked["seconds"]) == (2, 6.0)
    # Resumed once more, nothing is trained.
    assert choose(score, shortlist_folds=2)[0] == ORIGINAL and len(choose.asked) == 7


def test_of_equals_the_first_and_what_diverged_never(choose, found):
    def score(candidate, fold):  # noqa: ARG001
        return Score(seconds=1.0) if candidate == kernels(found) else scored(1.0, 0.0)

    chosen, content = choose(score, shortlist_margin=0.0)
    assert chosen == [(3, 1)] * 9 and content["candidates"][0]["validation"] is None


def test_where_the_original_kernels_diverged_the_best_of_the_others_is_chosen(choose, found):
    chosen, content = choose(
        lambda candidate, _: Score(seconds=1.0) if candidate == ORIGINAL else scored(1.0, 0.0)
    )
    assert chosen == kernels(found) and content["candidates"][0]["gain"] is None
    assert choose.said[-1] == "short list: candidate 1 is chosen; there is nothing to compare it with"


def test_out_of_time_what_is_done_decides(choose, found):
    def score(candidate, fold):  # noqa: ARG001
        return scored(1.0, float(candidate != ORIGINAL), 0.0, loss=2.0)

    chosen, content = choose(score, seconds=0.0, shortlist_folds=2, shortlist_margin=0.5)
    assert choose.asked == [(ORIGINAL, 0), (kernels(found), 0)]
    assert chosen == kernels(found)
    assert [row["folds"] for row in content["candidates"]] == [1, 0, 1]


def test_out_of_time_candidates_are_compared_on_the_folds_that_all_have(choose, monkeypatch):
    clock = iter([0.0, *[0.0] * 4, *[9.0] * 9])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))

    def score(candidate, fold):
        return scored(1.0, float(candidate == ORIGINAL and fold == 1), 0.0)

    _, content = choose(score, seconds=5.0, shortlist_folds=2)
    assert [fold for _, fold in choose.asked] == [0, 0, 0, 1]
    assert [(row["folds"], row["validation"]) for row in content["candidates"]] == [
        (1, pytest.approx(1 / 3))
    ] * 3


def test_the_folds_that_all_have_need_not_be_the_first_ones(waves_task, small, found):
    """Several processes train, and one may be late with a candidate of the first fold alone."""
    known = {(index, fold): scored(1.0, float(fold)) for index in range(3) for fold in range(2)}
    del known[1, 0]
    settings = small.model_copy(update={"shortlist_folds": 2})
    rows = compare(shortlist(found, 3), known, waves_task, settings, settings.shortlist_folds)
    assert [(row["folds"], row["validation"]) for row in rows] == [(1, 1.0)] * 3


def test_a_run_with_a_short_list_that_learns_from_all_data(waves_task, small, tmp_path):
    settings = small.model_copy(
        update={
            "search_epochs": 2,
            "retrain_epochs": 10,
            "shortlist": 2,
            "shortlist_epochs": 6,
            "shortlist_folds": 2,
            "refit": True,
            "mixup": 0.2,
            "noise": 0.1,
        }
    )
    run = search(waves_task, settings, tmp_path / "run")
    rows = json.loads((run.path / "shortlist.json").read_text())
    assert len(rows["candidates"]) == 2
    assert run.metrics["searched"]["validation"] == rows["candidates"][rows["chosen"]]["validation"]
    assert run.metrics["backbone"]["validation"] == rows["candidates"][-1]["validation"]
    assert run.metrics["seconds"]["shortlist"] > 0
    assert kernels(load_architecture(run.path)) == [
        tuple(k) for k in rows["candidates"][rows["chosen"]]["kernels"]
    ]
    marked = json.loads((run.path / "checkpoints" / "retrain.json").read_text())
    assert marked["best_epoch"] == 9  # the last: no epoch is chosen by data that is learned from
    assert run.metrics["backbone"]["test"] >= 0.9


def test_without_a_short_list_what_was_learned_from_has_no_validation_figure(waves_task, small, tmp_path):
    few = small.model_copy(update={"search_epochs": 1, "retrain_epochs": 1, "refit": True})
    run = search(waves_task, few, tmp_path / "run")
    assert run.metrics["searched"]["validation"] is None
    assert run.metrics["searched"]["test"] > 0


def test_the_original_kernels_are_the_backbone_to_the_last_weight(found):
    original = shortlist(found, 2)[1]
    torch.manual_seed(5)
    searched = build_searched(original).state_dict()
    torch.manual_seed(5)
    backbone = build_backbone(original.backbone, original.arguments).state_dict()
    assert searched.keys() == backbone.keys()
    assert all(torch.equal(tensor, backbone[name]) for name, tensor in searched.items())


def test_layers_keep_their_alpha(found):
    assert all(isinstance(layer, LayerArchitecture) for layer in shortlist(found, 2)[1].layers)


def test_killed_after_its_short_list_a_run_goes_on_to_the_same_end(waves_task, small, tmp_path, monkeypatch):
    settings = small.model_copy(
        update={"search_epochs": 1, "retrain_epochs": 2, "shortlist": 3, "shortlist_epochs": 1, "mixup": 0.3}
    )
    # The original kernels win, which is where an index into another list would be wrong.
    monkeypatch.setattr(module, "best", lambda rows, *_: len(rows) - 1)
    whole = search(waves_task, settings, tmp_path / "whole")
    for place in (
        (pipeline, "train_network"),
        (run_writer, "save_weights"),
    ):  # before and after it is retrained

        def stop(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(*place, stop)
            search(waves_task, settings, tmp_path / "killed", resume=True)
    killed = search(waves_task, settings, tmp_path / "killed", resume=True)
    for name in ("architecture.json", "model.safetensors", "backbone.safetensors", "metrics.jsonl"):
        assert (killed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert kernels(killed.architecture) == ORIGINAL
    # Trained once, since it would be trained to the same.
    assert killed.metrics["searched"] == killed.metrics["backbone"]
    assert killed.metrics["seconds"]["backbone"] == 0
    assert (killed.path / "report.html").exists()


def test_more_passes_for_the_backbone_are_not_those_of_the_original_kernels(
    waves_task, small, tmp_path, monkeypatch
):
    """Where these win, the backbone is still trained by itself if it was given more passes."""
    monkeypatch.setattr(module, "best", lambda rows, *_: len(rows) - 1)
    few = {"search_epochs": 1, "retrain_epochs": 2, "shortlist": 2, "shortlist_epochs": 1}
    settings = small.model_copy(update={**few, "backbone_epochs": 5})
    run = search(waves_task, settings, tmp_path / "run")
    marked = json.loads((run.path / "checkpoints" / "backbone.json").read_text())
    assert marked["epochs"] == 5 and marked["seconds"] > 0
    assert kernels(run.architecture) == ORIGINAL
    assert (run.path / "model.safetensors").read_bytes() != (run.path / "backbone.safetensors").read_bytes()


def test_every_fold_has_its_own_weights_the_same_for_all_candidates(
    waves_task, small, found, tmp_path, monkeypatch
):
    (tmp_path / "checkpoints").mkdir()
    seeds = []

    def noted(network, task, phase, settings):
        seeds.append(settings.seed)
        return PhaseModule(network, task, phase, settings)

    monkeypatch.setattr(short_training, "PhaseModule", noted)
    settings = small.model_copy(
        update={"shortlist": 2, "shortlist_folds": 2, "shortlist_epochs": 1, "seed": 2**32 - 1}
    )
    choose_from_shortlist(waves_task, settings, found, tmp_path)
    assert seeds == [2**32 - 1] * 2 + [0] * 2


def test_more_folds_than_samples_are_refused(waves_task, small, tmp_path):
    settings = small.model_copy(update={"shortlist": 2, "shortlist_folds": 91})
    with pytest.raises(
        InputError, match=r"shortlist_folds = 91: task waves has 90 training samples, .*; use fewer"
    ):
        search(waves_task, settings, tmp_path / "run")


def test_a_fold_leaves_two_samples_to_learn_from(waves_task, small, tmp_path):
    few = dataclasses.replace(
        waves_task,
        train=Split(*(each[:2] for each in waves_task.train)),
        validation=Split(*(each[:1] for each in waves_task.validation)),
    )
    settings = small.model_copy(update={"shortlist": 2, "shortlist_folds": 2, "batch_size": 2})
    with pytest.raises(InputError, match=r"has 3 training samples, .*; use more data, or one fold"):
        search(few, settings, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_join_waits_for_the_short_list(waves_task, small, tmp_path):
    settings = small.model_copy(update={"shortlist": 2, "tune": "grid"})
    folder = staging_path(tmp_path / "run")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "architecture.json").write_text("{}")
    with pytest.raises(InputError, match="has no architecture yet; join once"):
        join(waves_task, settings, tmp_path / "run")


def test_a_long_list_is_cut_down_by_short_trainings(choose, found):
    """All six once, on one part of the data; the two with the smallest loss and the original kernels on all parts."""
    losses = {tuple(map(tuple, kernels(each))): 1.0 + i for i, each in enumerate(shortlist(found, 9))}

    def score(candidate, fold):  # noqa: ARG001
        good = candidate == [(3, 1)] * 9
        return scored(1.0, 1.0, float(good), float(good), loss=losses[tuple(candidate)])

    chosen, content = choose(score, shortlist=9, shortlist_folds=2, shortlist_epochs=6)
    assert [fold for _, fold in choose.asked] == [0] * 6 + [0] * 3 + [1] * 3
    assert [candidate for candidate, _ in choose.asked[6:9]] == [ORIGINAL, kernels(found), [(3, 1)] * 9]
    assert [row["round"] for row in content["candidates"]] == [2, 2, 1, 1, 1, 2]
    assert [row["candidate"] for row in content["candidates"]] == list(range(6))
    assert chosen == [(3, 1)] * 9 and content["chosen"] == 1
    assert choose.said[6].startswith("short list: 2 candidates")
    # Resumed, nothing is trained again.
    (choose.folder / "checkpoints" / "shortlist.json").unlink()
    again = choose(score, shortlist=9, shortlist_folds=2, shortlist_epochs=6)
    assert again == (chosen, content) and len(choose.asked) == 12


def test_rounds_train_for_a_third_first(small):
    long = small.model_copy(update={"shortlist_epochs": 20, "shortlist_folds": 3, "shortlist_parts": 2})
    first, last = module.rounds(long, 7, later=0)
    assert (first.candidates, first.folds, first.epochs, first.cost) == (7, 1, 7, 49)
    assert (last.candidates, last.folds, last.epochs, last.cost) == (3, 2, 20, 120)
    (only,) = module.rounds(long, 3, later=0)
    assert (only.candidates, only.folds, only.epochs) == (3, 2, 20)
