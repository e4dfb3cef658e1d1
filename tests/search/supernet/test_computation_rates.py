"""By which rates a run goes: those of its start, whatever it is resumed on."""

import dataclasses
import json

import pytest
import torch

from dashdeploy.errors import InputError
from dashdeploy.ops.aggconv import module
from dashdeploy.ops.aggconv.rates import GPU, table_for
from dashdeploy.search import prepare
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.pipeline import search
from dashdeploy.search.run_writer import RATES_NAME, RunWriter
from dashdeploy.search.supernet import computation_rates
from dashdeploy.search.supernet.build import agg_convs
from dashdeploy.search.supernet.computation_rates import (
    ComputationRates,
    cpu_rates,
    layer_inputs,
    rates_here,
    rates_of_run,
    with_choices,
)
from dashdeploy.search.supernet.networks import supernet_of

MEASURED = ComputationRates("NVIDIA A100", measured=True, rates=dataclasses.replace(GPU, fft=1e9))


def settings_for(task, **values):
    return run_settings(task, SearchSettings.preset("quick", **({"devices": "cpu"} | values)))


@pytest.fixture
def a_gpu(monkeypatch):
    """Torch says that it has one GPU; nothing is computed on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _index: "NVIDIA A100")


def test_the_cpu_goes_by_its_table(waves_task, monkeypatch):
    monkeypatch.setattr(computation_rates, "measured_rates", lambda *_, **__: pytest.fail("measured"))
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert cpu_rates("bf16-mixed") != cpu_rates()
    for precision, dtype in (("32-true", None), ("bf16-mixed", torch.bfloat16)):
        expected = ComputationRates("cpu", measured=False, rates=table_for("cpu", dtype))
        assert rates_here(settings_for(waves_task, precision=precision)) == cpu_rates(precision) == expected
    assert cpu_rates() == ComputationRates("cpu", measured=False, rates=table_for("cpu"))


@pytest.mark.usefixtures("a_gpu")
def test_a_gpu_is_measured_in_the_precision_of_the_run(waves_task, monkeypatch):
    asked, said = [], []
    monkeypatch.setattr(
        computation_rates,
        "measured_rates",
        lambda device, dtype: asked.append((device.type, dtype)) or MEASURED.rates,
    )
    settings = settings_for(waves_task, devices="cuda")
    assert rates_here(settings, said.append) == MEASURED
    assert asked == [("cuda", torch.bfloat16)]
    assert "measuring the ways to compute an AggConv on NVIDIA A100" in said[0]
    # A method that is fixed has no use for them.
    fixed = settings_for(waves_task, devices="cuda", method="mixed-results")
    assert rates_here(fixed) == ComputationRates("NVIDIA A100", measured=False, rates=GPU)
    assert len(asked) == 1


@pytest.mark.usefixtures("a_gpu")
def test_where_measuring_fails_the_table_has_to_do(waves_task, monkeypatch):
    def out_of_memory(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    said = []
    monkeypatch.setattr(computation_rates, "measured_rates", out_of_memory)
    found = rates_here(settings_for(waves_task, devices="cuda"), said.append)
    assert found == ComputationRates("NVIDIA A100", measured=False, rates=GPU)
    assert "CUDA out of memory" in said[-1]


def test_a_run_that_is_resumed_elsewhere_keeps_its_rates_and_says_so(waves_task):
    said = []
    assert rates_of_run(MEASURED, settings_for(waves_task), said.append) == MEASURED
    assert said == [
        "this run was started on NVIDIA A100 and keeps the rates of that on cpu: every AggConv is computed as before"
    ]
    said.clear()
    assert rates_of_run(cpu_rates(), settings_for(waves_task), said.append) == cpu_rates()
    assert said == []


def test_they_are_kept_in_the_run(tmp_path):
    writer = RunWriter(tmp_path)
    assert writer.known_rates() is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "search.ckpt").write_bytes(b"of a version that kept none")
    assert writer.known_rates() == cpu_rates()
    writer.rates(MEASURED)
    assert writer.known_rates() == MEASURED
    path = tmp_path / "checkpoints" / RATES_NAME
    assert json.loads(path.read_bytes())["device"] == "NVIDIA A100"
    for damaged in ("{", "{}", "[]", json.dumps(MEASURED.as_json() | {"rates": {"fft": 1}})):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"aggconv-rates\.json cannot be read"):
            writer.known_rates()


def test_every_layer_of_the_supernet_has_them(waves_task):
    supernet, _ = supernet_of(waves_task, settings_for(waves_task), MEASURED.rates)
    assert {layer.rates for layer in agg_convs(supernet).values()} == {MEASURED.rates}


SPECTRAL = dataclasses.replace(table_for("cpu"), direct_calls=9.0)
"""A direct convolution takes so long to call that every layer is computed by spectra, unlike by the table."""


def test_a_run_that_is_resumed_on_other_hardware_goes_on_bit_for_bit(
    waves_task, small, tmp_path, monkeypatch
):
    elsewhere = ComputationRates("NVIDIA A100", measured=True, rates=SPECTRAL)
    computed = []
    for name in ("fourier", "per_dilation", "mixed_weights"):
        real = getattr(module, name)

        def spy(*arguments, name=name, real=real):
            if torch.is_grad_enabled():  # in training; a supernet is run once before it has the rates
                computed.append(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, spy)
    with monkeypatch.context() as away:
        away.setattr(computation_rates, "rates_here", lambda *_: elsewhere)
        expected = search(waves_task, small, tmp_path / "uninterrupted")
        assert set(computed) == {"fourier"}

        def until_the_first_epoch(line):
            if "epoch" in line:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            search(waves_task, small, tmp_path / "run", progress=until_the_first_epoch)
    computed.clear()
    said = []
    run = search(waves_task, small, tmp_path / "run", resume=True, progress=said.append)
    assert "this run was started on NVIDIA A100 and keeps the rates of that on cpu" in " ".join(said)
    assert set(computed) == {"fourier"}
    for name in ("architecture.json", "model.safetensors", "metrics.jsonl"):
        assert (run.path / name).read_bytes() == (expected.path / name).read_bytes(), name
    assert json.loads((run.path / "checkpoints" / RATES_NAME).read_bytes()) == elsewhere.as_json()


def test_on_a_gpu_each_way_to_compute_each_layer_is_timed(waves_task, monkeypatch, request):
    settings = settings_for(waves_task, batch_size=16)
    supernet, _ = supernet_of(waves_task, settings)
    assert with_choices(MEASURED, supernet, waves_task, settings) is MEASURED  # not on a CPU
    request.getfixturevalue("a_gpu")
    on_a_gpu = settings_for(waves_task, devices="cuda", batch_size=16)
    asked, said = [], []

    def measured(layers, batch, device, rates, dtype, seconds):
        asked.append((len(layers), {spatial for _, spatial in layers}, batch, device, dtype, seconds))
        assert rates == MEASURED.rates
        return {layers[0][0].signature((24,), batch): ("fourier", 0)}

    monkeypatch.setattr(computation_rates, "measured_choices", measured)
    found = with_choices(MEASURED, supernet, waves_task, on_a_gpu, said.append)
    assert asked == [(9, {(24,)}, 16, torch.device("cuda", 0), torch.bfloat16, 2.0)]
    assert "timing each way to compute each layer" in said[0]
    assert ComputationRates.from_json(json.loads(json.dumps(found.as_json()))) == found
    assert list(found.choices.values()) == [("fourier", 0)]
    fixed = on_a_gpu.model_copy(update={"method": "fourier"})
    assert with_choices(MEASURED, supernet, waves_task, fixed) is MEASURED
    by_table = ComputationRates("NVIDIA A100", measured=False, rates=GPU)
    assert with_choices(by_table, supernet, waves_task, on_a_gpu) is by_table

    def broken(*_, **__):
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(computation_rates, "measured_choices", broken)
    assert with_choices(MEASURED, supernet, waves_task, on_a_gpu, said.append) is MEASURED
    assert "unspecified launch failure" in said[-1]


def test_damaged_choices_are_refused():
    content = MEASURED.as_json()
    assert "choices" not in content
    with pytest.raises(ValueError, match="does not name a computation of an AggConv"):
        ComputationRates.from_json(content | {"choices": {"a": ["quick", 0]}})


def test_a_run_that_is_resumed_takes_the_choices_that_it_was_started_with(
    waves_task, small, tmp_path, monkeypatch
):
    computed = set()
    for name in ("fourier", "per_dilation", "mixed_weights"):
        real = getattr(module, name)

        def spy(*arguments, name=name, real=real):
            if torch.is_grad_enabled():
                computed.add(name)
            return real(*arguments)

        monkeypatch.setattr(module, name, spy)

    def chosen(rates, supernet, task, settings, progress):  # noqa: ARG001
        layers = layer_inputs(supernet, task.input_shape)
        named = {layer.signature(spatial, 16): ("mixed-weights", 0) for layer, spatial in layers}
        return dataclasses.replace(MEASURED, rates=SPECTRAL, choices=named)

    def until_the_first_epoch(line):
        if "epoch" in line:
            raise KeyboardInterrupt

    with monkeypatch.context() as away:
        away.setattr(prepare, "with_choices", chosen)
        with pytest.raises(KeyboardInterrupt):
            search(waves_task, small, tmp_path / "run", progress=until_the_first_epoch)
    computed.clear()
    run = search(waves_task, small, tmp_path / "run", resume=True)
    assert computed == {"mixed_weights"}
    kept = json.loads((run.path / "checkpoints" / RATES_NAME).read_bytes())
    assert {method for method, _ in kept["choices"].values()} == {"mixed-weights"}
