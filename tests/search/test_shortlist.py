"""The short list: what is on it, how it is judged, and that an interrupted one goes on."""

import json

import pytest
import torch

from dashdeploy.backbones import build_backbone, build_searched
from dashdeploy.errors import InputError
from dashdeploy.run_directory import Architecture, LayerArchitecture, load_architecture
from dashdeploy.search import pipeline
from dashdeploy.search import shortlist as module
from dashdeploy.search.partial_run import partial_path, phase_result
from dashdeploy.search.phase_training import train_phase
from dashdeploy.search.pipeline import join, search
from dashdeploy.search.shortlist import choose_from_shortlist, folds_of, shortlist

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


def test_ever_fewer_of_the_found_layers_down_to_none(found):
    listed = shortlist(found, 5)
    assert [sum(not layer.original for layer in each.layers) for each in listed] == [9, 9, 6, 3, 0]
    assert listed[0] == found
    assert kernels(listed[1]) == [(3, 1)] * 9
    assert kernels(listed[-1]) == ORIGINAL
    # The first layers have the least entropy, so they are taken first.
    assert kernels(listed[3]) == [(3, 3)] * 3 + ORIGINAL[3:]
    assert [layer.alpha for layer in listed[-1].layers] == [layer.alpha for layer in found.layers]
    assert [len(shortlist(found, count)) for count in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert shortlist(found, 1) == [found]
    assert kernels(shortlist(found, 2)[1]) == kernels(shortlist(found, 3)[2]) == ORIGINAL
    favourite = found.model_copy(update={"layers": listed[1].layers})
    assert len(shortlist(favourite, 3)) == 2  # what is the same is listed once


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


def test_the_best_is_chosen_and_an_interrupted_list_goes_on(waves_task, small, found, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    settings = small.model_copy(update={"shortlist": 3, "shortlist_folds": 2, "shortlist_epochs": 1})
    calls = []

    def score(task, settings, candidate, folder):  # noqa: ARG001 - trained elsewhere in this file
        calls.append(kernels(candidate))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"loss": 1.0, "value": 0.5 if kernels(candidate) == ORIGINAL else 0.4, "seconds": 1.0}

    monkeypatch.setattr(module, "_score", score)
    with pytest.raises(KeyboardInterrupt):
        choose_from_shortlist(waves_task, settings, found, tmp_path)
    chosen = choose_from_shortlist(waves_task, settings, found, tmp_path)
    assert kernels(chosen) == ORIGINAL and len(calls) == 7
    content = json.loads((tmp_path / "shortlist.json").read_text())
    assert (content["folds"], content["chosen"]) == (2, 2)
    assert [row["validation"] for row in content["candidates"]] == [0.4, 0.4, 0.5]
    marked = phase_result(tmp_path, "shortlist")
    assert (marked["chosen"], marked["seconds"]) == (2, 6.0)
    # Resumed once more, architecture.json is what was chosen.
    assert choose_from_shortlist(waves_task, settings, chosen, tmp_path) == chosen and len(calls) == 7


def test_of_equals_the_first_and_what_diverged_never(waves_task, small, found, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    settings = small.model_copy(update={"shortlist": 3})
    scores = [{}, {"loss": 1.0, "value": 0.4}, {"loss": 1.0, "value": 0.4}]
    monkeypatch.setattr(module, "_score", lambda *_: {"seconds": 1.0, **scores.pop(0)})
    choose_from_shortlist(waves_task, settings, found, tmp_path)
    content = json.loads((tmp_path / "shortlist.json").read_text())
    assert content["chosen"] == 1 and content["candidates"][0]["validation"] is None


def test_out_of_time_what_is_done_decides(waves_task, small, found, tmp_path, monkeypatch):
    (tmp_path / "checkpoints").mkdir()
    settings = small.model_copy(update={"shortlist": 3, "shortlist_folds": 2})
    calls = []

    def score(*arguments):
        calls.append(arguments)
        return {"loss": 1.0, "value": 0.4, "seconds": 1.0}

    monkeypatch.setattr(module, "_score", score)
    assert choose_from_shortlist(waves_task, settings, found, tmp_path, seconds=0.0) == found
    assert len(calls) == 2  # the first candidate on both folds


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
    run = search(waves_task, settings, tmp_path / "run", progress=False)
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
    run = search(waves_task, few, tmp_path / "run", progress=False)
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
    monkeypatch.setattr(module, "_best", lambda rows, *_: len(rows) - 1)
    whole = search(waves_task, settings, tmp_path / "whole", progress=False)
    for place, step in (("train_phase", "retrain"), ("save_weights", "")):  # before and after it is retrained

        def stop(job, *rest, at=step):
            if getattr(job, "phase", None) is None or job.phase.name == at:
                raise KeyboardInterrupt
            return train_phase(job, *rest)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pipeline, place, stop)
            search(waves_task, settings, tmp_path / "killed", resume=True, progress=False)
    killed = search(waves_task, settings, tmp_path / "killed", resume=True, progress=False)
    for name in ("architecture.json", "model.safetensors", "backbone.safetensors", "metrics.jsonl"):
        assert (killed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert kernels(killed.architecture) == ORIGINAL
    # Trained once, since it would be trained to the same.
    assert killed.metrics["searched"] == killed.metrics["backbone"]
    assert killed.metrics["seconds"]["backbone"] == 0
    assert (killed.path / "report.html").exists()


def test_more_folds_than_samples_are_refused(waves_task, small, tmp_path):
    settings = small.model_copy(update={"shortlist": 2, "shortlist_folds": 91})
    with pytest.raises(
        InputError, match="shortlist_folds = 91: task waves has 90 training samples; use fewer"
    ):
        search(waves_task, settings, tmp_path / "run", progress=False)


def test_join_waits_for_the_short_list(waves_task, small, tmp_path):
    settings = small.model_copy(update={"shortlist": 2, "tune": "grid"})
    folder = partial_path(tmp_path / "run")
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "architecture.json").write_text("{}")
    with pytest.raises(InputError, match="has no architecture yet; join once"):
        join(waves_task, settings, tmp_path / "run", progress=False)
