"""Narrower networks side by side in place of one: what they are, what they learn from, and when they are chosen."""

import dataclasses
import importlib
import json

import pytest
import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture, load_architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.backbones.ensemble import Ensemble
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.inspect.inspection import inspect
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection.shortlist import rounds
from dashdeploy.search.selection.towers import asks_for_towers, check_towers, divided
from dashdeploy.search.training.augmentation import smoothed_loss, training_loss


def multiply_adds(network, shape):
    """Of all convolutions on one sample, counted by what each of them gives."""
    total = 0

    def count(module, _, output):
        nonlocal total
        total += output[0].numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, *shape))
    return total


@pytest.mark.parametrize(("width", "count", "narrow"), [(24, 2, 16), (64, 2, 44), (32, 4, 16), (4, 9, 4)])
def test_a_tower_has_its_share_of_the_width(architecture, width, count, narrow):
    wide = architecture.model_copy(update={"arguments": {**architecture.arguments, "width": width}})
    towers = divided(wide, count, "classification")
    assert towers.towers.arguments == {"width": narrow}
    assert towers.arguments == wide.arguments and towers.layers == wide.layers  # those of the backbone stay
    assert divided(wide, 1, "classification") == wide


@pytest.mark.parametrize("width", [22, 24, 64])
def test_whole_towers_have_the_width(architecture, width):
    wide = architecture.model_copy(
        update={
            "arguments": {**architecture.arguments, "width": width},
            "searched_arguments": {"patch": 2},
        }
    )
    towers = divided(wide, 3, "classification", narrow=False)
    assert towers.towers.arguments == {"width": width}
    network = build_searched(towers)
    assert [member.head.in_features for member in network.members] == [2 * width] * 3
    assert all(member.stem[0].stride == (2,) for member in network.members)


@pytest.mark.parametrize(
    ("backbone", "arguments", "count", "narrow"),
    [
        ("wide_resnet", {}, 2, {"widen": 2.75}),  # 4 / sqrt 2 = 2.83, and a quarter is 4 channels
        ("wide_resnet", {"widen": 1}, 2, {"widen": 0.75}),
        ("wide_resnet", {"widen": 1}, 100, {"widen": 0.25}),
        ("tcn", {}, 2, {"channels": 16}),  # 25 / sqrt 2 = 17.7
        ("unet1d", {"width": 32}, 4, {"width": 16}),
    ],
)
def test_every_width_is_divided_in_its_own_terms(architecture, backbone, arguments, count, narrow):
    shape = {"in_channels": 3, "outputs": 2}
    wide = architecture.model_copy(
        update={"backbone": backbone, "arguments": shape | arguments, "layers": []}
    )
    towers = divided(wide, count, "classification")
    assert towers.towers.arguments == narrow
    for member in build_searched(towers).members:
        convs = [each for each in member.modules() if isinstance(each, (nn.Conv1d, nn.Conv2d))]
        assert all(each.out_channels % 4 == 0 for each in convs)


def test_two_towers_cost_no_more_than_one_network(architecture, waves_task):
    one = multiply_adds(build_searched(architecture), waves_task.input_shape)
    two = multiply_adds(build_searched(divided(architecture, 2, "classification")), waves_task.input_shape)
    assert 0.85 < two / one < 0.95  # 2 x 16 x 16 over 24 x 24 are 0.89


def test_the_network_gives_the_mean_probabilities_of_towers_with_the_found_kernels(architecture, waves_task):
    torch.manual_seed(0)
    network = build_searched(divided(architecture, 2, "classification")).eval()
    assert isinstance(network, Ensemble) and len(network.members) == 2
    for member in network.members:
        modules = dict(member.named_modules())
        found = [(modules[x.name].kernel_size[0], modules[x.name].dilation[0]) for x in architecture.layers]
        assert found == [(x.kernel_size, x.dilation) for x in architecture.layers]
        assert modules["head"].in_features == 32
    x = waves_task.train.inputs[:5]
    mean = sum(member(x).double().softmax(1) for member in network.members) / 2
    torch.testing.assert_close(network(x).double().softmax(1), mean, rtol=1e-5, atol=1e-7)
    first, second = (next(member.parameters()) for member in network.members)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_each_tower_learns_from_its_own_loss(architecture, waves_task, small, mixup):
    """Its gradients are those that it has when it is trained alone, on the same batch and mixture."""
    settings = small.model_copy(update={"mixup": mixup, "label_smoothing": 0.1})
    torch.manual_seed(0)
    network = build_searched(divided(architecture, 2, "classification"))
    x, y = waves_task.train.inputs[:8], waves_task.train.targets[:8]
    losses, gradients = [], []
    for member in network.members:
        torch.manual_seed(1)
        losses.append(training_loss(member, x, y, waves_task, settings))
        gradients += torch.autograd.grad(losses[-1], list(member.parameters()))
    torch.manual_seed(1)
    together = training_loss(network, x, y, waves_task, settings)
    torch.testing.assert_close(together, sum(losses))
    for one, other in zip(torch.autograd.grad(together, list(network.parameters())), gradients, strict=True):
        torch.testing.assert_close(one, other)
    if not mixup:
        outputs = [member(x) for member in network.members]
        expected = sum(smoothed_loss(each, y, waves_task, settings) for each in outputs)
        torch.testing.assert_close(together, expected)


def test_architectures_of_one_network_are_written_as_before(architecture):
    assert "towers" not in architecture.model_dump()
    towers = divided(architecture, 2, "multi-label")
    assert Architecture.model_validate(json.loads(towers.model_dump_json())) == towers


@pytest.mark.parametrize(
    ("asks", "changes", "of_task"),
    [
        (True, {}, {}),
        (True, {}, {"kind": "multi-label"}),
        (False, {"towers": 1}, {}),
        (False, {"shortlist": 1}, {}),
        (False, {"latency_weight": 0.5}, {}),
        (True, {"backbone": "tcn"}, {}),
        (False, {"backbone": "tests.search.test_own_backbone:anything"}, {}),
        (False, {}, {"kind": "regression"}),
        (False, {}, {"dense": True}),
    ],
)
def test_when_a_run_asks_for_towers(waves_task, monkeypatch, asks, changes, of_task):
    # Networks of the user's own have a width at most by chance, and may mean something else by it.
    networks = importlib.import_module("dashdeploy.search.supernet.networks")
    if ":" in changes.get("backbone", ""):
        monkeypatch.setattr(networks, "accepted", lambda _, offered: offered)
    settings = SearchSettings(**changes)
    assert asks_for_towers(dataclasses.replace(waves_task, **of_task), settings) == asks


def test_towers_of_a_network_of_the_users_own_are_refused(waves_task):
    own = "tests.search.test_own_backbone:anything"
    check_towers(waves_task, SearchSettings(towers=2))
    check_towers(waves_task, SearchSettings(backbone="tcn", towers=2))
    check_towers(waves_task, SearchSettings(backbone=own, towers=1))
    with pytest.raises(
        InputError, match=rf"^towers = 2: it is not known how the backbone {own} is made narrower"
    ):
        check_towers(waves_task, SearchSettings(backbone=own, towers=2))


def test_towers_are_trained_after_the_last_round_as_its_candidates_were(waves_task):
    settings = run_settings(waves_task, SearchSettings(batch_size=8))
    without, with_towers = (rounds(settings, 7, later=each) for each in (0, 1))
    assert with_towers[:-1] == without
    assert with_towers[-1] == dataclasses.replace(without[-1], candidates=1)


def test_towers_are_chosen_where_cross_validation_says_so(choose):
    listed = choose({"one": [0.5, 0.6], "towers": [0.3, 0.7]}).listed
    assert listed.architecture.towers.count == 2 and listed.architecture.towers.arguments == {"width": 16}
    row = listed.comparison["towers"]
    assert row["chosen"] and row["towers"] == 2 and row["gain"] == pytest.approx(0.05)
    assert row["loss"] == pytest.approx(0.5) and row["folds"] == 2
    ones = [("one", 0)] * 2 + [("one", 1)] * 2
    assert choose.trained == [*ones, ("towers", 0), ("towers", 1)]
    assert listed.seconds == 6.0
    assert choose.said[-1] == (
        "short list: two narrower networks side by side are chosen; their loss is better by 0.0500"
    )
    assert all(layer.original for layer in listed.architecture.layers)  # equal losses: nothing surely better


def test_one_network_stays_where_the_width_is_worth_more(choose):
    listed = choose({"one": [0.5, 0.6], "towers": [0.6, 0.6]}).listed
    assert listed.architecture.towers is None and not listed.comparison["towers"]["chosen"]
    assert choose.said[-1] == (
        "short list: one network stays, not two narrower ones; its loss is better by 0.0500"
    )


def test_an_interrupted_list_keeps_its_scores(choose):
    first = choose({"one": [0.5, 0.6], "towers": [0.3, 0.7]}).listed
    choose.trained.clear()
    again = choose({"one": [9.0, 9.0], "towers": [9.0, 9.0]}).listed
    assert again == first and choose.trained == []


def test_a_run_of_towers_is_kept_shown_and_built_again(waves_task, small, tmp_path):
    """The original kernels may win, and the backbone is trained for itself even then."""
    settings = small.model_copy(update={"towers": 2, "width": 8, "shortlist": 1})
    run = search(waves_task, settings, tmp_path / "run")
    towers = load_architecture(tmp_path / "run").towers
    assert towers.count == 2 and towers.arguments == {"width": 4} and towers.kind == "classification"
    network, backbone = run.searched_model(), run.backbone_model()
    assert isinstance(network, Ensemble) and not isinstance(backbone, Ensemble)
    assert backbone.head.in_features == 16
    x, y = waves_task.test.inputs, waves_task.test.targets
    right = network(waves_task.unscaled(waves_task.test).inputs if waves_task.scaling else x).argmax(1) == y
    assert run.metrics["searched"]["test"] == pytest.approx(float(right.double().mean()))
    again = Run.load(tmp_path / "run").searched_model()
    torch.testing.assert_close(again(x), network(x), rtol=0, atol=0)
    shown = inspect(tmp_path / "run")
    assert ", backbone resnet1d, 2 towers of width 4" in shown.text
    assert shown.data["towers"] == {"count": 2, "arguments": {"width": 4}, "kind": "classification"}


def test_a_run_may_have_several_networks_of_the_whole_width(waves_task, small, tmp_path):
    changes = {
        "towers": 3,
        "narrow_towers": False,
        "width": 8,
        "shortlist": 1,
        "searched_arguments": {"patch": 2},
    }
    run = search(waves_task, small.model_copy(update=changes), tmp_path / "run")
    assert run.architecture.towers.count == 3 and run.architecture.towers.arguments == {"width": 8}
    network, backbone = run.searched_model(), run.backbone_model()
    assert [member.head.in_features for member in network.members] == [16] * 3
    assert backbone.head.in_features == 16 and isinstance(backbone.stem, nn.Identity)
    probabilities = [member(waves_task.test.inputs).softmax(1) for member in network.members]
    assert not torch.allclose(probabilities[0], probabilities[1], atol=1e-3)
    assert ', searched with {"patch": 2}, 3 towers of width 8' in inspect(tmp_path / "run").text


def test_the_backbone_is_one_network(architecture):
    wide = build_backbone(architecture.backbone, architecture.arguments)
    assert not isinstance(wide, Ensemble) and wide.head.in_features == 48
