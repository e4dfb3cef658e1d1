"""Whether the winner of a short list scales each series by itself, and what comes of it."""

import dataclasses
import json

import pytest
import torch
from torch.testing import assert_close

from dashdeploy.backbones.build import build_backbone
from dashdeploy.backbones.run import Run
from dashdeploy.data.from_arrays import DataOptions, task_from_arrays
from dashdeploy.errors import InputError
from dashdeploy.inspect.shortlist import shortlist_rows
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection.scaled_samples import SCALING, asks_for_scaled_samples


@pytest.mark.parametrize(
    ("asks", "changes", "of_task"),
    [
        (True, {}, {}),
        (True, {}, {"kind": "multi-label"}),
        (True, {"searched_arguments": {"patch": 2}}, {}),
        (False, {"searched_arguments": {"scale_samples": False}}, {}),
        (False, {"backbone_arguments": {"scale_samples": True}}, {}),
        (False, {"shortlist": 1}, {}),
        (False, {"latency_weight": 1.0}, {}),
        (False, {"backbone": "tcn"}, {}),
        (False, {}, {"dense": True}),
        (False, {}, {"kind": "regression"}),
        (False, {"scale_samples": False}, {}),
        (False, {"scale_samples": True}, {}),
    ],
)
def test_when_a_run_asks_for_it(waves_task, asks, changes, of_task):
    task = dataclasses.replace(waves_task, **of_task)
    assert asks_for_scaled_samples(task, SearchSettings(**changes)) == asks
    assert SearchSettings.preset("paper").scale_samples is False


@pytest.mark.parametrize(("normalize", "differ"), [("channels", True), ("samples", False), ("sizes", False)])
def test_what_the_data_were_scaled_by_is_not_asked_again(normalize, differ):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 2, 30, generator=generator) * torch.rand(40, 1, 1, generator=generator)
    arrays = {"x_train": x.numpy(), "y_train": (torch.arange(40) % 2).numpy()}
    task = task_from_arrays("data", "data.npz", arrays, DataOptions(normalize=normalize))
    assert run_settings(task, SearchSettings()).scale_samples is (None if differ else False)
    asked = SearchSettings(scale_samples=True)
    assert run_settings(task, asked).scale_samples is True
    for other in ({"kind": "regression"}, {"dense": True}, {"input_shape": (2, 5, 6)}):  # which never ask
        assert run_settings(dataclasses.replace(task, **other), SearchSettings()).scale_samples is False


@pytest.mark.parametrize("patch", [1, 4])
def test_the_network_is_the_same_behind_the_scaling(patch):
    x = torch.randn(6, 3, 40) * 7 + 2
    for name in SCALING:
        arguments = {"in_channels": 3, "outputs": 5, "patch": patch}
        torch.manual_seed(0)
        plain = build_backbone(name, arguments).eval()
        torch.manual_seed(0)
        model = build_backbone(name, arguments | {"scale_samples": True}).eval()
        assert model.state_dict().keys() == plain.state_dict().keys()
        by_itself = (x - x.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)
        assert_close(model(x), plain(by_itself), atol=1e-4, rtol=1e-4)


def test_it_is_done_where_it_has_the_smaller_loss(choose, tmp_path):
    losses = {
        "one": [0.5, 0.6],
        "one, scaled": [0.3, 0.7],
        "one by branches, scaled": [0.2, 0.9],
        "towers, scaled": [0.5, 0.7],
    }
    chosen = choose(losses, scale_samples=None, reparameterize=None)
    found, comparison = chosen.listed.architecture, chosen.listed.comparison
    assert found.searched_arguments["scale_samples"] is True and found.towers is None and not chosen.branches
    assert comparison["scaled"]["gain"] == pytest.approx(0.05)
    assert {name: comparison[name]["chosen"] for name in ("scaled", "branches", "towers")} == {
        "scaled": True,
        "branches": False,
        "towers": False,
    }
    trained = [name for name, _ in choose.trained]
    assert trained == ["one"] * 4 + [each for each in list(losses)[1:] for _ in range(2)]
    assert "short list: it scales each series by itself; its loss is better by 0.0500" in choose.said
    assert chosen.listed.validation() == {"searched": pytest.approx(0.5), "backbone": pytest.approx(0.45)}
    # What a score is of, its key says, so that an interrupted list takes it for nothing else.
    scores = json.loads((tmp_path / "checkpoints" / "shortlist.scores.0.0.json").read_bytes())
    winner = comparison["chosen"]
    keys = ["0", "1", f"{winner}+scaled", f"{winner}+scaled+branches", f"{winner}+scaled+towers"]
    assert sorted(scores) == sorted(f"{key}.{fold}" for key in keys for fold in range(2))
    assert [row[0] for row in shortlist_rows(comparison)][-3:-1] == [
        "the chosen with series scaled by themselves, gain over it, chosen",
        "the chosen by branches, gain over it",
    ]


def test_series_are_taken_as_they_are_where_that_has_the_smaller_loss(choose):
    losses = {"one": [0.5, 0.6], "one, scaled": [0.6, 0.6], "towers": [0.9, 0.9]}
    chosen = choose(losses, scale_samples=None)
    assert "scale_samples" not in chosen.listed.architecture.searched_arguments
    assert "short list: it takes series as they are; its loss is better by 0.0500" in choose.said


def test_a_run_that_scales_is_one_like_any_other(waves_task, small, tmp_path):
    """The backbone beside it does not, and equals that of a run without."""
    changes = {"search_epochs": 1, "retrain_epochs": 2, "shortlist": 2, "shortlist_epochs": 1}
    runs = {
        wanted: search(
            waves_task, small.model_copy(update=changes | {"scale_samples": wanted}), tmp_path / str(wanted)
        )
        for wanted in (True, False)
    }
    content = json.loads((runs[True].path / "architecture.json").read_bytes())
    assert content["searched_arguments"] == {"scale_samples": True}
    assert "scale_samples" not in content["arguments"]
    x = torch.as_tensor(waves_task.unscaled(waves_task.validation).inputs[:])
    model = Run.load(runs[True].path).searched_model().eval()
    assert_close(model(3 * x + 5), model(x), atol=1e-3, rtol=1e-3)
    weights = [(run.path / "backbone.safetensors").read_bytes() for run in runs.values()]
    assert weights[0] == weights[1]


def test_it_is_refused_for_a_backbone_that_cannot(waves_task, small, tmp_path):
    wanted = small.model_copy(update={"scale_samples": True, "backbone": "tcn"})
    with pytest.raises(InputError, match=r"^scale_samples = true: the backbone tcn does not scale series"):
        search(waves_task, wanted, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
