"""Latency-aware search: the expected latency, its gradient, and choices within a budget."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from dashdeploy.errors import InputError, MissingCapabilityError
from dashdeploy.export.lowerings.registry import LOWERINGS
from dashdeploy.export.native.candidates import estimate, plain, tiles
from dashdeploy.export.planning.candidate_costs import CandidateCosts
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.targets.selection import target_of
from dashdeploy.inspect.inspection import inspect_run
from dashdeploy.ops.aggconv.module import AggConv1d
from dashdeploy.ops.conv.padded_conv import with_kernel
from dashdeploy.runtimes.names import TargetName
from dashdeploy.runtimes.native.library import instruction_sets
from dashdeploy.search.latency.loss_term import LatencyLoss, LatencyTable, likeliest_within
from dashdeploy.search.latency.table import latency_table, spec_of
from dashdeploy.search.pipeline import search
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.networks import supernet_of


def table(milliseconds, backbone=None, fixed=0.5):
    rows = tuple(map(tuple, milliseconds))
    return LatencyTable(
        target="ort-cpu",
        device="a machine",
        costs="measured",
        layers=tuple(f"l{i}" for i in range(len(rows))),
        milliseconds=rows,
        backbone=backbone or tuple(row[0] for row in rows),
        fixed=fixed,
    )


def layers(count=2):
    torch.manual_seed(0)
    made = [AggConv1d(1, 1, [3, 5], [1, 2]).double() for _ in range(count)]
    for layer in made:
        nn.init.normal_(layer.alpha)
    return made


def test_expected_latency_is_the_sum_of_probability_times_cost():
    costs, made = [(1.0, 2.0, 3.0, 4.0), (4.0, 1.0, 1.0, 8.0)], layers()
    pressure = LatencyLoss(table(costs), weight=2.0, budget=None)
    p = [np.exp(layer.alpha.detach().numpy().ravel()) for layer in made]
    expected = 0.5 + sum((each / each.sum()) @ np.array(c) for each, c in zip(p, costs, strict=True))
    assert float(pressure.expected(made)) == pytest.approx(expected)
    # As a share of the backbone's 0.5 + 1 + 4 ms.
    assert float(pressure.penalty(made)) == pytest.approx(2 * expected / 5.5)
    assert torch.autograd.gradcheck(
        lambda *alphas: sum(
            alpha.flatten().softmax(0) @ alpha.new_tensor(c) for alpha, c in zip(alphas, costs, strict=True)
        ),
        [layer.alpha for layer in made],
    )
    pressure.penalty(made).backward()
    share = torch.tensor(p[0] / p[0].sum())
    cost = torch.tensor(costs[0], dtype=torch.double)
    gradient = 2 / 5.5 * share * (cost - share @ cost)
    torch.testing.assert_close(made[0].alpha.grad.flatten(), gradient, rtol=1e-6, atol=1e-9)


def test_the_mixture_of_the_pass_counts():
    (layer,) = layers(1)
    layer.mixing = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.double)
    assert float(LatencyLoss(table([(1.0, 2.0, 3.0, 4.0)]), weight=1, budget=None).expected([layer])) == 4.5


def test_a_budget_s_weight_grows_while_the_network_is_too_slow():
    made = layers()
    slow = LatencyLoss(table([(2.0,) * 4, (2.0,) * 4]), weight=0.0, budget=3.0)
    assert slow.end_epoch(made) == pytest.approx(4.5)
    assert slow.weight == pytest.approx(0.1 * 1.5**4)
    quick = LatencyLoss(table([(1.0,) * 4, (1.0,) * 4]), weight=0.0, budget=5.0)
    quick.end_epoch(made)
    assert quick.weight == pytest.approx(0.1 * 0.5**4)
    constant = LatencyLoss(table([(1.0,) * 4, (1.0,) * 4]), weight=0.3, budget=None)
    constant.end_epoch(made)
    assert constant.weight == 0.3


def test_choices_within_a_budget_are_likely_and_cheap_enough():
    generator = np.random.default_rng(0)
    for _ in range(30):
        costs = generator.uniform(0.1, 3, (3, 4))
        shares = generator.normal(size=(3, 4))
        known = table(costs.tolist(), fixed=0.2)
        budget = generator.uniform(known.least, known.of(costs.argmax(1).tolist()))
        chosen = likeliest_within(shares.tolist(), known, budget)
        assert known.of(chosen) <= budget + 1e-9
        affordable = [c for c in itertools.product(range(4), repeat=3) if known.of(c) <= budget]
        value = sum(shares[i][c] for i, c in enumerate(chosen))
        # No affordable choice is better in both.
        assert not any(
            sum(shares[i][c] for i, c in enumerate(each)) > value + 1e-9
            and known.of(each) <= known.of(chosen)
            for each in affordable
        )
    assert likeliest_within(shares.tolist(), known, None) == shares.argmax(1).tolist()


def test_a_candidate_costs_what_its_cheapest_lowering_does():
    settings = ExportSettings(tune="estimate")
    costs = CandidateCosts(TargetName.ORT_CPU, None, "estimate")
    target = target_of(settings)
    for conv in (nn.Conv1d(64, 64, 19, dilation=15, padding="same"), nn.Conv1d(4, 4, 3, padding=1)):
        spec = spec_of(conv, (1000,))
        kinds = [kind for kind in LOWERINGS if kind not in target.leaves_out and kind.refuses(spec) is None]
        plain = [each for kind in kinds for each in kind.variants(spec)]
        others = [each.with_products(form, spec) for each in plain for form in target.forms_for(spec)]
        estimates = [target.estimate(each, spec) for each in (*plain, *others) if each is not None]
        assert costs.milliseconds(spec, "it") == pytest.approx(1e3 * min(estimates), rel=0.05)


def test_a_candidate_costs_what_its_cheapest_native_kernel_does(tmp_path, monkeypatch):
    monkeypatch.setenv("DASHDEPLOY_CACHE", str(tmp_path))
    try:
        instruction_sets()
    except MissingCapabilityError as error:
        pytest.skip(str(error))
    spec = spec_of(nn.Conv1d(64, 64, 19, dilation=15, padding="same"), (1000,))
    costs = CandidateCosts(TargetName.NATIVE, None, "estimate")
    assert costs.device.startswith("native kernels")
    estimates = [estimate(spec, each) for each in (plain(spec), *tiles(spec, 6))]
    assert costs.milliseconds(spec, "it") == pytest.approx(1e3 * min(estimates))
    measured = CandidateCosts(TargetName.NATIVE, None, "measure").milliseconds(spec, "it")
    direct = CandidateCosts(TargetName.NATIVE, None, "estimate").milliseconds(
        spec_of(nn.Conv1d(64, 64, 1), (1000,)), "short"
    )
    assert 0.02 < measured < 20
    assert direct < 1e3 * min(estimates)


@pytest.mark.parametrize(
    ("conv", "causal", "spatial"),
    [
        (nn.Conv1d(2, 3, 5, padding=2), False, (30,)),
        (nn.Conv1d(2, 2, 4, stride=2, padding=1, groups=2), False, (31,)),
        (nn.Conv1d(2, 3, 3, padding=8, dilation=4), True, (30,)),
        (nn.Conv1d(2, 3, 7, dilation=4, bias=False), True, (54,)),
        (nn.Conv2d(2, 3, 3, padding=1, stride=2), False, (16, 21)),
    ],
    ids=str,
)
def test_specs_are_the_convolutions_that_are_built(conv, causal, spatial):
    for made in (conv, with_kernel(conv, 3, 2, causal=causal), with_kernel(conv, 6, 3, causal=causal)):
        spec = spec_of(made, spatial)
        assert spec.out_spatial == tuple(made(torch.zeros(1, 2, *spatial)).shape[2:])
        assert (spec.kernel, spec.dilations, spec.groups) == (made.kernel_size, made.dilation, conv.groups)
        assert spec.bias == (conv.bias is not None)


def estimated(small, **more):
    return small.model_copy(
        update={"latency_costs": "estimate", "kernel_sizes": (3, 11), "dilations": (1, 5)} | more
    )


def test_the_table_has_a_row_per_layer_and_the_backbone_s_own_kernels(waves_task, small):
    settings = estimated(small)
    layers = agg_convs(supernet_of(waves_task, settings)[0])
    known = latency_table(waves_task, settings, layers)
    assert known.layers == tuple(layers)
    assert {len(row) for row in known.milliseconds} == {4}
    assert known.costs == "estimated"
    for row in known.milliseconds:
        assert row[0] < row[2]  # 3 taps are cheaper than 11
    assert known.fixed > 0  # the two shortcuts
    assert known.backbone_total == pytest.approx(known.fixed + sum(known.backbone))
    with pytest.raises(
        InputError, match=r"`latency_budget=1e-06ms`: .* take .* ms on ort-cpu; raise the budget"
    ):
        latency_table(waves_task, estimated(small, latency_budget=1e-6), layers)


def test_a_target_that_is_not_here_is_estimated_or_named(waves_task, small):
    layers = agg_convs(supernet_of(waves_task, small)[0])
    gpu = small.model_copy(update={"latency_target": "tensorrt-rtx", "latency_device": "l4"})
    known = latency_table(waves_task, gpu, layers)
    assert (known.target, known.costs) == ("tensorrt-rtx", "estimated")
    with pytest.raises(InputError, match="which device"):
        latency_table(waves_task, gpu.model_copy(update={"latency_device": None}), layers)
    with pytest.raises(MissingCapabilityError, match="nothing can be measured"):
        latency_table(waves_task, gpu.model_copy(update={"latency_costs": "measure"}), layers)


def test_a_heavier_weight_gives_a_quicker_network_and_a_budget_is_kept(waves_task, small, tmp_path):
    quick = estimated(small, search_epochs=4, retrain_epochs=1)
    light, heavy = (
        search(
            waves_task,
            quick.model_copy(update={"latency_weight": weight}),
            tmp_path / str(weight),
        )
        for weight in (1e-3, 30.0)
    )
    written = [json.loads((run.path / "latency.json").read_text()) for run in (light, heavy)]
    assert written[1]["chosen_ms"] < written[0]["chosen_ms"]
    assert written[1]["expected_ms"] < written[0]["expected_ms"]
    # Under a heavy weight every layer takes its cheapest kernel.
    assert {(layer.kernel_size, layer.dilation) for layer in heavy.architecture.layers} <= {(3, 1), (3, 5)}
    history = [json.loads(line) for line in (heavy.path / "metrics.jsonl").read_text().splitlines()]
    values = [record["latency_ms"] for record in history if record["phase"] == "search"]
    assert len(values) == 4
    assert values[-1] < values[0]

    budget = (written[0]["chosen_ms"] + written[1]["chosen_ms"]) / 2
    within = search(waves_task, quick.model_copy(update={"latency_budget": budget}), tmp_path / "budget")
    kept = json.loads((within.path / "latency.json").read_text())
    assert kept["chosen_ms"] <= budget == kept["budget_ms"]
    shown = inspect_run(within)
    assert f"latency (budget {budget:g} ms): all convolutions take {kept['chosen_ms']:.4g} ms" in shown.text
    assert shown.data["latency"] == kept
