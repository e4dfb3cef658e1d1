"""Smaller networks than the backbone: which are tried, for how long, which one is chosen, and the run that has it."""

import dataclasses
import json
import math
import time

import pytest
import torch
from torch import nn

from dashdeploy.artifacts.run import Architecture, load_architecture
from dashdeploy.backbones.build import build_searched
from dashdeploy.backbones.run import Run
from dashdeploy.errors import InputError
from dashdeploy.inspect.inspection import inspect_run
from dashdeploy.search import pipeline
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.selection import network_size as module
from dashdeploy.search.selection.candidates import original_layers
from dashdeploy.search.selection.choice import Score
from dashdeploy.search.selection.network_size import choose_size, sizes
from dashdeploy.search.selection.paired_difference import Figure
from dashdeploy.search.selection.towers import divided
from dashdeploy.search.staging.run_config import check_same, run_config
from dashdeploy.search.training.time_limit import TimeLimit
from dashdeploy.search.tuning.space import Hyperparameters

ASKED = SearchSettings(devices="cpu", width=4)


def shaped(task, *input_shape):
    """The task with inputs of another shape; nothing is computed with them."""
    inputs = torch.zeros(1, *input_shape).expand(len(task.train.targets), *input_shape)
    held = inputs[:1].expand(len(task.validation.targets), *input_shape)
    return dataclasses.replace(
        task,
        input_shape=input_shape,
        train=task.train._replace(inputs=inputs),
        validation=task.validation._replace(inputs=held),
        test=None,
    )


@pytest.mark.parametrize(
    ("input_shape", "changes", "expected"),
    [
        ((1, 199), {}, [{}]),
        ((1, 200), {}, [{}, {"patch": 2}]),
        ((3, 2000), {}, [{}, {"patch": 2}, {"patch": 4}, {"patch": 8}, {"patch": 16}]),
        ((1, 2000), {"backbone_arguments": {"patch": 2}}, [{}]),
        ((1, 2000), {"retrain_arguments": {"patch": 2}}, [{}]),
        ((1, 2000), {"backbone": "tcn"}, [{}]),
        ((3, 64, 64), {}, [{}]),
        ((3, 64, 64), {"backbone": "convnext"}, [{}]),
    ],
)
def test_sizes_that_the_backbone_can_have(waves_task, input_shape, changes, expected):
    task = shaped(waves_task, *input_shape)
    found = sizes(task, SearchSettings(**changes))
    assert [dict(size.arguments) for size in found] == expected
    assert [size.cost for size in found] == sorted((size.cost for size in found), reverse=True)


def test_every_position_that_is_predicted_is_seen(waves_task):
    dense = dataclasses.replace(shaped(waves_task, 1, 2000), dense=True)
    assert [dict(size.arguments) for size in sizes(dense, ASKED)] == [{}]


def test_what_sizes_cost_is_about_their_share_of_the_multiply_adds(waves_task):
    """Counted by what every convolution behind the patches gives."""
    task = shaped(waves_task, 3, 800)

    def count(size):
        arguments = {"in_channels": 3, "outputs": 3, "width": 24, **size.arguments}
        network = build_searched(
            Architecture(backbone="resnet1d", arguments=arguments, kernel_sizes=[3], dilations=[1], layers=[])
        )
        total = 0

        def add(layer, _, output):
            nonlocal total
            total += output[0].numel() * layer.weight[0].numel()

        for layer in network.blocks.modules():
            if isinstance(layer, nn.Conv1d):
                layer.register_forward_hook(add)
        network.eval()(torch.zeros(1, 3, 800))
        return total

    found = sizes(task, SearchSettings())
    whole = count(found[0])
    for size in found[1:]:
        assert count(size) / whole == pytest.approx(size.cost, rel=0.15)


@pytest.fixture
def choose(waves_task, monkeypatch):
    """Choose by steps and losses that are given per size; says what was trained, and for how many steps."""
    trained, said = [], []

    def run(input_shape, step, loss, *, seconds=900.0, **changes):
        task = shaped(waves_task, *input_shape)

        def instead_of_time(network, task, settings, counts):  # noqa: ARG001
            patch = 1
            for layer in network.modules():
                if isinstance(layer, nn.Conv1d) and layer.kernel_size == layer.stride:
                    patch = max(patch, layer.stride[0])
            return [step(patch)]

        def instead_of_training(task, settings, candidate, fold, folder, phase):  # noqa: ARG001
            steps = max(1, round(phase.share * (len(task.train.targets) // settings.batch_size)))
            trained.append((candidate.searched_arguments, fold, phase.epochs * phase.passes * steps))
            value = loss(candidate.searched_arguments.get("patch", 1))
            if value is None:
                return Score(seconds=1.0)
            figure = Figure(value=value, without=(value,))
            return Score(seconds=1.0, loss=figure, metric=figure.model_copy(update={"value": 0.5}))

        monkeypatch.setattr(module, "step_seconds", instead_of_time)
        monkeypatch.setattr(module, "judged", instead_of_training)
        asked = ASKED.model_copy(update=changes)
        whole = run_settings(task, asked)
        deadline = time.perf_counter() + seconds
        settings, rows = choose_size(task, asked, whole, deadline, said.append)
        assert settings == whole.model_copy(update={"searched_arguments": settings.searched_arguments})
        return settings.searched_arguments, rows

    run.trained, run.said = trained, said
    return run


def test_the_best_size_is_chosen(choose):
    losses = {1: 2.0, 2: 1.5, 4: 1.0, 8: 1.2, 16: 1.4}
    chosen, rows = choose((1, 2000), lambda patch: 0.05 / patch, losses.get)
    assert chosen == {"patch": 4}
    assert [row["loss"] for row in rows] == pytest.approx(list(losses.values()))
    assert [row["chosen"] for row in rows] == [False, False, True, False, False]
    assert rows[2]["step_ms"] == 12.5 and rows[2]["validation"] == 0.5
    # Each on the same three folds.
    assert [(arguments, fold) for arguments, fold, _ in choose.trained] == [
        ({"patch": patch} if patch > 1 else {}, fold) for patch in losses for fold in range(3)
    ]
    assert choose.said[0] == "5 sizes of the network are compared by short trainings"
    assert choose.said[-1] == 'the searched network has {"patch": 4}; the backbone keeps its own'


def test_the_trainings_take_a_tenth_of_the_time_and_have_the_same_part_of_their_steps(choose):
    _, rows = choose((1, 2000), lambda patch: 0.1 / patch, lambda _: 1.0)
    seconds = sum(steps * 0.1 / arguments.get("patch", 1) for arguments, _, steps in choose.trained)
    assert 80 < seconds < 100
    # With 2000 steps in time for each of them, each is trained for as many; those of a pass are whole.
    assert max(row["steps"] for row in rows) <= 1.1 * min(row["steps"] for row in rows)


@pytest.mark.parametrize("batch", [None, 8, 30])
def test_the_steps_that_are_told_are_those_that_were_trained(choose, batch):
    """Whole passes or not; every size has the same part."""
    _, rows = choose((1, 2000), lambda patch: 0.2 / patch, lambda _: 1.0, batch_size=batch)
    told = [(row["arguments"], row["steps"]) for row in rows for _ in range(len(choose.trained) // len(rows))]
    assert told == [(arguments, steps) for arguments, _, steps in choose.trained]
    parts = {row["arguments"].get("patch", 1): row["steps"] for row in rows}
    assert parts[8] == pytest.approx(parts[4], rel=0.1)


def test_the_trainings_of_one_device_are_counted_with_the_whole_batch(choose):
    """A step of two processes is timed with half of it."""
    steps = []
    for devices in ("cpu", "cpu:2"):
        choose.trained.clear()
        choose((1, 2000), lambda patch: 0.1 / patch, lambda _: 1.0, devices=devices)
        steps.append(sum(steps / arguments.get("patch", 1) for arguments, _, steps in choose.trained))
    assert steps[1] == pytest.approx(steps[0] / 2, rel=0.15)


@pytest.mark.parametrize("changes", [{"retrain_epochs": 5}, {"retrain_steps": 100}])
def test_short_trainings_that_were_asked_for_are_compared_as_well(choose, changes):
    chosen, rows = choose(
        (1, 1000), lambda patch: 0.001 / patch, {1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3}.get, **changes
    )
    assert chosen == {} and len(rows) == 4


def test_a_size_is_trained_for_fewer_steps_where_the_run_has_fewer(choose):
    _, rows = choose((1, 2000), lambda patch: 0.2 / patch, lambda _: 1.0)
    steps = {row["arguments"].get("patch", 1): row["steps"] for row in rows}
    assert steps[1] < 0.7 * steps[4]
    assert steps[8] <= 1.1 * steps[4]
    assert {fold for _, fold, _ in choose.trained} == {0}  # longer trainings instead of more of them


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ({1: 1.0, 2: 1.0}, {"patch": 2}),  # of equals, the quicker one
        ({1: 0.9, 2: 1.0}, {}),
        ({1: None, 2: 1.0}, {"patch": 2}),
        ({1: None, 2: None}, {"patch": 2}),
        ({1: 1.0, 2: math.nan}, {}),
    ],
)
def test_what_diverged_is_not_chosen(choose, losses, expected):
    chosen, rows = choose((1, 250), lambda patch: 0.3 / patch, losses.get)
    assert chosen == expected
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("length", "step", "changes"),
    [
        (999, 0.001, {}),
        (150, 10.0, {}),
        (2000, 1.0, {"searched_arguments": {}}),
        (2000, 1.0, {"searched_arguments": {"patch": 2}}),
        (2000, 1.0, {"shortlist": 1}),
        (2000, 1.0, {"latency_weight": 1.0}),
        (2000, 1.0, {"search_epochs": 1, "retrain_epochs": 1}),
    ],
)
def test_nothing_is_tried_where_there_is_no_question(choose, length, step, changes):
    chosen, rows = choose((1, length), lambda patch: step / patch, lambda _: 1.0, **changes)
    assert chosen == changes.get("searched_arguments", {})
    assert not rows and not choose.trained and not choose.said


def test_long_series_are_tried_in_patches_even_with_time_enough(choose):
    losses = {1: 1.0, 2: 0.9, 4: 1.1, 8: 1.1}
    assert choose((1, 1000), lambda patch: 0.001 / patch, losses.get)[0] == {"patch": 2}
    # A quarter of the 2000 steps is enough to compare them.
    assert all(row["steps"] <= 550 for row in choose((1, 1000), lambda _: 0.001, losses.get)[1])


def test_a_size_without_hope_is_not_tried(choose):
    """A step of the whole network may take a minute, which is not waited for either."""
    _, rows = choose((1, 16000), lambda patch: 20.0 / patch, lambda _: 1.0)
    assert [row["arguments"] for row in rows] == [{"patch": 32}, {"patch": 64}, {"patch": 128}]


def test_the_only_size_with_hope_needs_no_trainings(choose):
    chosen, rows = choose((3, 300), lambda _: 10.0, lambda _: 1.0)
    assert chosen == {"patch": 2}
    assert [(row["arguments"], row["steps"], row["loss"], row["chosen"]) for row in rows] == [
        (chosen, 0, None, True)
    ]
    assert not choose.trained
    assert choose.said == ['the searched network has {"patch": 2}; the backbone keeps its own']


def test_random_numbers_stay(choose):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    choose((1, 1000), lambda patch: 1.0 / patch, lambda _: float(torch.rand(())))
    assert torch.equal(before, torch.get_rng_state())


@pytest.fixture(scope="module")
def in_patches(waves_task, small, tmp_path_factory):
    settings = small.model_copy(update={"searched_arguments": {"patch": 2}, "retrain_epochs": 3})
    return search(waves_task, settings, tmp_path_factory.mktemp("patches") / "run")


def test_a_run_has_networks_of_two_sizes(in_patches, waves_task):
    """The file says it, the weights fit, and the figures are those of these networks."""
    content = json.loads((in_patches.path / "architecture.json").read_bytes())
    assert content["searched_arguments"] == {"patch": 2} and "patch" not in content["arguments"]
    run = Run.load(in_patches.path)
    searched, backbone = run.searched_model(), run.backbone_model()
    assert isinstance(backbone.stem, nn.Identity)
    assert searched.stem[0].kernel_size == (2,)
    for model, name in ((searched, "searched"), (backbone, "backbone")):
        right = (model(waves_task.test.inputs).argmax(1) == waves_task.test.targets).float().mean()
        assert run.metrics[name]["test"] == pytest.approx(float(right))
    inspected = inspect_run(run)
    assert inspected.data["searched_arguments"] == {"patch": 2}
    assert '{"patch": 2}' in inspected.text
    assert "patch" in (in_patches.path / "report.html").read_text()


def test_a_run_of_one_size_is_written_as_before(finished):
    assert "searched_arguments" not in json.loads((finished.path / "architecture.json").read_bytes())
    assert load_architecture(finished.path).searched_arguments == {}


def test_the_original_kernels_in_a_smaller_network_are_not_the_backbone(waves_task, small, tmp_path):
    settings = small.model_copy(
        update={
            "searched_arguments": {"patch": 2},
            "search_epochs": 1,
            "retrain_epochs": 1,
            "shortlist": 2,
            "shortlist_epochs": 1,
            "shortlist_margin": 1e9,
        }
    )
    run = search(waves_task, settings, tmp_path / "run")
    assert all(layer.original for layer in run.architecture.layers)
    assert "same_as" not in json.loads((run.path / "checkpoints" / "backbone.json").read_bytes())
    assert isinstance(run.backbone_model().stem, nn.Identity)


def test_original_kernels_are_those_of_the_network_that_is_searched():
    architecture = Architecture(
        backbone="tcn",
        arguments={"in_channels": 1, "outputs": 2, "levels": 2, "channels": 8},
        searched_arguments={"kernel_size": 3},
        kernel_sizes=[5],
        dilations=[1],
        layers=[{"name": "blocks.0.conv1", "kernel_size": 5, "dilation": 1, "alpha": [[1.0]]}],
    )
    name = next(
        name for name, each in build_searched(architecture.model_copy(update={"layers": []})).named_modules()
        if isinstance(each, nn.Conv1d) and each.kernel_size == (3,)
    )  # fmt: skip
    layer = architecture.layers[0].model_copy(update={"name": name})
    (found,) = original_layers(architecture.model_copy(update={"layers": [layer]}))
    assert found.kernel_size == 3 and found.original


def test_a_tuned_dropout_is_that_of_the_searched_network(finished):
    own = finished.architecture.model_copy(update={"searched_arguments": {"dropout": 0.3, "patch": 2}})
    tuned = Hyperparameters(0.1, 0.0, 0.9, 0.05).applied_to(own)
    assert tuned.own_arguments == own.arguments | {"dropout": 0.05, "patch": 2}


def test_an_unfinished_run_is_refused_before_anything_is_trained(waves_task, small, tmp_path, monkeypatch):
    from dashdeploy.search import prepare

    monkeypatch.setattr(prepare, "choose_size", lambda *_: pytest.fail("it was trained for nothing"))
    (tmp_path / "run.partial").mkdir()
    with pytest.raises(InputError, match="is an unfinished run; add"):
        search(waves_task, small, tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*: Not a directory; choose"):
        search(waves_task, small, tmp_path / "file" / "run")


def test_a_run_that_is_resumed_with_another_backbone_says_so(waves_task, small, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    settings = small.model_copy(update={"searched_arguments": {"patch": 2}, "search_epochs": 1})
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(pipeline, "_train", stop)
        search(waves_task, settings, tmp_path / "run")
    other = settings.model_copy(update={"backbone": "tcn", "searched_arguments": {}})
    with pytest.raises(InputError, match="was started with backbone = auto, now it is tcn"):
        search(waves_task, other, tmp_path / "run", resume=True)


@pytest.mark.parametrize(("arguments", "accepted"), [(None, True), ({}, True), ({"patch": 2}, False)])
def test_a_run_from_before_there_were_sizes_goes_on(waves_task, small, tmp_path, arguments, accepted):
    asked = small.model_copy(update={"searched_arguments": arguments})
    config = run_config(waves_task, asked, TimePlan(small, {}))
    before = json.loads(json.dumps(config))
    del before["asked"]["searched_arguments"], before["asked"]["backbone_share"]
    (tmp_path / "config.json").write_text(json.dumps(before))
    if accepted:
        check_same(tmp_path, config)
    else:
        with pytest.raises(InputError, match="started with searched_arguments"):
            check_same(tmp_path, config)


def test_towers_are_narrower_than_the_network_that_they_divide():
    architecture = Architecture(
        backbone="wide_resnet",
        arguments={"in_channels": 3, "outputs": 2},
        searched_arguments={"widen": 2, "patch": 2},
        kernel_sizes=[3],
        dilations=[1],
        layers=[],
    )
    towers = divided(architecture, 2, "classification")
    assert towers.towers.arguments == {"widen": 1.5}
    for member in build_searched(towers).members:
        assert member.patches[0].stride == (2, 2)
        assert member.head.in_features == 96


def test_a_resumed_run_keeps_the_size_that_was_chosen(waves_task, tmp_path, monkeypatch):
    """The whole run and the one that was stopped have the same weights; the choice is not made again."""
    asked = SearchSettings.preset(
        "quick", width=4, kernel_sizes=(3,), dilations=(1, 3), search_steps=10, retrain_steps=20,
        shortlist_steps=10, devices="cpu", seed=7,
    )  # fmt: skip
    row = {
        "arguments": {"patch": 2},
        "step_ms": 1.0,
        "steps": 10,
        "loss": 1.0,
        "validation": 0.5,
        "chosen": True,
    }

    def chosen(task, asked, whole, deadline, progress):  # noqa: ARG001
        return whole.model_copy(update={"searched_arguments": {"patch": 2}}), [row]

    def stop(*_, **__):
        raise KeyboardInterrupt

    from dashdeploy.search import prepare

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "choose_size", chosen)
        whole = search(waves_task, asked, tmp_path / "whole")
        patched.setattr(pipeline, "_train", stop)
        with pytest.raises(KeyboardInterrupt):
            search(waves_task, asked, tmp_path / "run")
    monkeypatch.setattr(prepare, "choose_size", stop)
    limited = []

    def limit(*arguments, **named):
        limited.append(named["before"])
        return TimeLimit(*arguments, **named)

    # What the interrupted call took before its phases counts, too.
    config = tmp_path / "run.partial" / "config.json"
    kept = json.loads(config.read_bytes())
    assert 0 < kept["preparing"] < 60
    config.write_text(json.dumps(kept | {"preparing": 1000.0}))
    monkeypatch.setattr(pipeline, "TimeLimit", limit)
    resumed = search(waves_task, asked, tmp_path / "run", resume=True)
    (before,) = limited
    assert 1000 < before < 1060
    assert resumed.config["sizes"] == [row]
    assert resumed.architecture == whole.architecture
    assert resumed.architecture.searched_arguments["patch"] == 2
    assert resumed.architecture.kept["stem.0"].endswith("it cuts patches")
    weights = [(run.path / "model.safetensors").read_bytes() for run in (whole, resumed)]
    assert weights[0] == weights[1]
