"""Every option of ``export``, on every source, alone, with its partners and in a dry run: it works or is refused.

Whether it works is not taken from the table of effects: two values are tried, and what is written or printed must
differ. Of the other commands, every entry of the table is tried on the command line.
"""

import hashlib
import itertools
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from typer.main import get_command
from typer.testing import CliRunner

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_backbone, build_searched
from dashdeploy.cli.app import app
from dashdeploy.cli.effects import (
    ARRAYS,
    BUILT_IN,
    BUNDLE,
    COMPILED,
    CSV,
    EFFECTS,
    FACTORY,
    IMAGES,
    ONNX,
    RECORDINGS,
    RUN,
    TABLE,
    TS,
    DataKind,
    SourceKind,
)  # fmt: skip
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES

TEXT = """<ir_version: 9, opset_import: ["" : 17]>
g (float[b,2,64] x) => (float[b,4,64] y) <float[4,2,9] w> { y = Conv<pads = [4,4]>(x, w) }"""
STATEFUL = """<ir_version: 9, opset_import: ["" : 17]>
g (float[b,2,64] x, float[b,4,64] h0) => (float[b,4,64] y, float[b,4,64] hn) <float[4,2,9] w>
{ c = Conv<pads = [4,4]>(x, w) y = Add(c, h0) hn = Identity(y) }"""
ARGUMENTS = {"in_channels": 2, "outputs": 3, "width": 2}
QUICK = ("--lowering", "direct", "--tune", "estimate")
INT8, FP16 = ("--precision", "int8"), ("--precision", "fp16")
GPU = ("--target", "tensorrt")
WITH_RTX, WITH_KSERVE = ("--trt-rtx", "--compute-capabilities", "8.9"), ("--kserve", "with.yaml")
MISSING = ONNX_ENGINES[EngineName.ORT_WEB].missing()
NEEDS_WEB = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
SWITCH = (None, True)

CASES = {
    "out": (("one", "two"), []),
    "name": (("one", "two"), []),
    "input_shape": (("x=1,2,64", "x=1,2,48"), []),
    "state": ((None, "h0=hn"), []),
    "dry_run": (SWITCH, []),
    "target": (("ort-cpu", "openvino"), []),
    "engines": (("ort-cpu", "openvino"), [("--target", "auto")]),
    "device": (("l4", "h100"), [GPU]),
    "batch": (("1", "4"), []),
    "lowering": (("direct", "fft"), []),
    "tune": (("estimate", "measure"), []),
    "threads": (("1", "2"), []),
    "memory": (("4G", "2G"), []),
    "ensemble": ((None, False), []),
    "precision": (("fp32", "fp16"), []),
    "samples": (("{sources}/small.npz", "{sources}/large.npz"), []),
    "calibration": (("{sources}/small.npz", "{sources}/large.npz"), [INT8]),
    "max_accuracy_drop": (("0.7", "0.9"), [INT8, FP16]),
    "torchscript": (SWITCH, []),
    "pt2": (SWITCH, []),
    "fixed_batch": (("1", "4"), []),
    "trt_rtx": (SWITCH, []),
    "trt": (SWITCH, []),
    "compute_capabilities": (("8.6", "8.9"), [("--trt-rtx",)]),
    "engine_batches": (
        ("1,2,4", "1,4,16"),
        [WITH_RTX, ("--trt",), ("--triton-repository", "with"), WITH_KSERVE],
    ),
    "triton_repository": (("one", "two"), []),
    "kserve": (("one.yaml", "two.yaml"), []),
    "storage_uri": (("s3://one", "s3://two"), [WITH_KSERVE]),
    "web": (("site", "other-site"), []),
}
"""Two values of every option of ``export``, and the partners with which it has an effect, if it needs any."""

WRITING = {
    "out", "name", "state", "precision", "samples", "calibration", "max_accuracy_drop", "torchscript", "pt2",
    "fixed_batch", "trt_rtx", "trt", "compute_capabilities", "engine_batches", "triton_repository", "kserve",
    "storage_uri", "web",
}  # fmt: skip
"""What concerns writing alone: a dry run takes it, since the same command is run without ``--dry-run`` next."""

OUTPUT = {"as_json", "quiet", "verbose", "help"}
ROOT = get_command(app).commands
COMMANDS = {**ROOT, **{f"bench {name}": command for name, command in ROOT["bench"].commands.items()}}


def flag_of(command, name):
    return next(each.opts[0] for each in COMMANDS[command].params if each.name == name)


def write_run(folder, members=1):
    """A run as search writes it, with random weights and the classes that its own model finds."""
    layers = [f"blocks.{i // 3}.convs.{i % 3}" for i in range(9)]
    written = {
        "backbone": "resnet1d",
        "arguments": ARGUMENTS,
        "kernel_sizes": [3, 5],
        "dilations": [1],
        "layers": [
            {"name": name, "kernel_size": 3, "dilation": 1, "alpha": [[1, 0], [0, 0]]} for name in layers
        ],
    }
    folder.mkdir()
    torch.manual_seed(0)
    searched = build_searched(Architecture.model_validate(written)).eval()
    save_file(searched.state_dict(), folder / "model.safetensors")
    save_file(build_backbone("resnet1d", ARGUMENTS).state_dict(), folder / "backbone.safetensors")
    for member in range(2, members + 1):
        other = build_searched(Architecture.model_validate(written))
        save_file(other.state_dict(), folder / f"model.{member}.safetensors")
    samples = np.random.default_rng(0).standard_normal((20, 2, 64)).astype("f4")
    with torch.no_grad():
        targets = searched(torch.from_numpy(samples)).argmax(1).numpy()
    np.savez(folder / "samples.npz", inputs=samples, targets=targets)
    config = {"input_shape": [2, 64], "labels": ["low", "mid", "high"], "settings": {"ensemble": members}}
    for name, content in (("config", config), ("architecture", written), ("metrics", {})):
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    write_run(folder / "run")
    write_run(folder / "ensemble", members=2)
    model = onnx.parser.parse_model(TEXT)
    weights = np.random.default_rng(0).standard_normal((4, 2, 9)).astype("f4")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    del model.graph.input[1:], model.graph.value_info[:]
    onnx.save(model, folder / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[2].dim_param = "n"
    onnx.save(model, folder / "open.onnx")
    for name, count in (("small", 4), ("large", 40)):
        array = 3 * np.random.default_rng(count).standard_normal((count, 2, 64), "f4")
        np.savez(folder / f"{name}.npz", x=array, input=array)
    stateful = onnx.parser.parse_model(STATEFUL)
    stateful.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    del stateful.graph.input[2:], stateful.graph.value_info[:]
    onnx.save(stateful, folder / "stateful.onnx")
    for source, bundle in (("model.onnx", "bundle"), ("stateful.onnx", "stateful")):
        words = ["export", folder / source, "--out", folder / bundle, *QUICK, "--quiet"]
        assert CliRunner().invoke(app, [*map(str, words)]).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def outcome(sources, tmp_path_factory):
    """Exit code, error, what is printed and what is written of an export of one source, each tried once."""
    known = {}

    def tried(place, *words):
        if (place, words) not in known:
            folder = tmp_path_factory.mktemp("outcome")
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("DASHDEPLOY_CACHE", str(folder / "cache"))
                spelled = [word.replace("{sources}", str(sources)) for word in words]
                result = CliRunner().invoke(app, ["export", str(sources / place), *spelled, "--quiet"])
            files = {
                path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(folder.rglob("*"))
                if path.is_file() and "cache" not in path.relative_to(folder).parts
            }
            known[place, words] = result.exit_code, result.stderr, result.stdout, files
        return known[place, words]

    return tried


def basis(kind, name, *, dry):
    if dry:
        return ("--dry-run", *QUICK)
    if kind is BUNDLE:
        return () if name == "triton_repository" else ("--triton-repository", "there")
    return QUICK if name == "dry_run" else ("--out", "out", *QUICK)


def with_value(name, value):
    if value is None:
        return ()
    if value is False:
        return (next(each.secondary_opts[0] for each in COMMANDS["export"].params if each.name == name),)
    return (flag_of("export", name),) if value is True else (flag_of("export", name), value)


WALK = [
    pytest.param(
        name,
        kind,
        partner,
        dry,
        id=" ".join([name, kind.value, *partner, *["dry"] * dry]),
        marks=[pytest.mark.slow] * (kind is RUN) + [NEEDS_WEB] * (name == "web"),
    )
    for name, (_, partners) in CASES.items()
    for kind, partner, dry in itertools.product(SourceKind, [(), *partners], (False, True))
    if not (dry and (name == "dry_run" or kind is BUNDLE))
]


def test_the_walk_knows_every_option_of_export():
    assert set(CASES) == {each.name for each in COMMANDS["export"].params} - {"source"} - OUTPUT
    assert set(EFFECTS["export"]) == set(CASES)


def test_an_export_comes_out_the_same_twice(outcome):
    words = basis(ONNX, "batch", dry=False)
    assert outcome("model.onnx", *words) == outcome("model.onnx", *words, *words)


@pytest.mark.parametrize(("name", "kind", "partner", "dry"), WALK)
def test_an_option_works_or_is_refused(outcome, name, kind, partner, dry):
    values, partners = CASES[name]
    words = (*basis(kind, name, dry=dry), *partner)
    # A model whose length is open takes a shape, one with a state its pair, and a run of several networks a choice.
    runs = "ensemble" if name == "ensemble" else "run"
    models = {"input_shape": "open.onnx", "state": "stateful.onnx"}
    bundle = "stateful" if name == "state" else "bundle"
    place = {RUN: runs, ONNX: models.get(name, "model.onnx"), BUNDLE: bundle}[kind]
    tried = [outcome(place, *words, *with_value(name, value)) for value in values]
    wrong = [one for one, value in zip(tried, values, strict=True) if value is not None and one[0] == 1]
    if wrong:
        assert len(wrong) == sum(value is not None for value in values)
        for _, error, printed, files in wrong:
            assert error.startswith("error: ")
            # A partner that has no effect itself may be named first.
            assert any(flag in error for flag in (flag_of("export", name), *partner[:1]))
            assert (error.count("\n"), printed, files) == (1, "", {})
    else:
        first, second = tried
        assert {first[0], second[0]} <= {0, 1, 3}, first[1] + second[1]
        assert (first == second) if dry and name in WRITING else (first != second)
    effect = EFFECTS["export"][name]
    if kind in effect.sources and bool(partner) == bool(partners) and not dry:
        assert not wrong, wrong[0][1]


@pytest.mark.parametrize("flag", ["--ensemble", "--no-ensemble"])
def test_a_run_of_one_network_has_no_choice_among_several(outcome, flag):
    code, error, printed, files = outcome("run", "--out", "out", *QUICK, flag)
    assert (code, printed, files) == (1, "", {})
    assert re.search(r"^error: --ensemble has no effect: .*run has one network alone; .*--ensemble 5$", error)


def test_what_a_bundle_refuses_is_what_was_decided_when_it_was_compiled():
    assert {name for name, effect in EFFECTS["export"].items() if effect.sources == COMPILED} == {
        "dry_run", "target", "engines", "device", "batch", "lowering", "tune", "threads", "memory", "precision",
        "calibration",
    }  # fmt: skip


ELSEWHERE = {
    ("search", "time_limit"): ("--task", "mnist1d", "--out", "o", "--join", "--time-limit", "3m"),
    ("search", "resume"): ("--task", "mnist1d", "--out", "o", "--join", "--resume"),
    ("search", "lengths"): ("--data", "flow.csv", "--out", "o", "--lengths", "pad"),
    ("search", "layout"): ("--data", "flow_TRAIN.ts", "--out", "o", "--layout", "channels-first"),
    ("search", "target_column"): ("--data", "flow.npz", "--out", "o", "--target-column", "-1"),
    ("search", "timestamps"): ("--data", "flow.h5", "--out", "o", "--timestamps", "refuse"),
    ("search", "image_size"): ("--data", "flow_TRAIN.ts", "--out", "o", "--image-size", "8x8"),
    ("serve", "batch_delay"): ("b", "--max-batch", "1", "--batch-delay", "0"),
    ("serve", "measure_batches"): ("b", "--max-batch", "1", "--no-measure-batches"),
    ("serve", "preferred_batches"): ("b", "--max-batch", "1", "--preferred-batches", "1"),
    ("bench latency", "memory"): ("b", "--loadgen", "offline", "--memory"),
    ("bench latency", "device"): ("b", "--device", "cpu"),
    ("bench latency", "precisions"): ("b", "--precisions", "fp32"),
    ("bench latency", "profile"): ("b", "--loadgen", "offline", "--profile"),
    ("bench latency", "batches"): ("b", "--loadgen", "server", "--batches", "1,8,32"),
    ("bench latency", "engine"): (
        "b", "--loadgen", "offline", "--url", "http://h:1", "--engine", "ort-cpu",
    ),
    ("bench latency", "threads"): ("b", "--loadgen", "offline", "--url", "http://h:1", "--threads", "1"),
    ("bench latency", "qps"): ("b", "--loadgen", "offline", "--qps", "5"),
    ("bench latency", "bound"): ("b", "--bound", "15"),
    ("bench layers", "batches"): ("--rank", "2", "--batches", "1,8"),
    **{
        ("bench networks", name): ("--save", "o", flag, *value)
        for name, flag, *value in (
            ("cpu_time", "--cpu-time"),
            ("batches", "--batches", "1"),
            ("threads", "--threads", "1"),
            ("seconds", "--seconds", "5"),
            ("target", "--target", "ort-cpu"),
            ("report_file", "--report", "r.html"),
        )
    },
}  # fmt: skip
"""Command lines on which an option has no effect, be its value the default."""


def test_every_other_entry_of_the_table_is_tried():
    assert set(ELSEWHERE) == {
        (command, name) for command in EFFECTS if command != "export" for name in EFFECTS[command]
    }


@pytest.mark.parametrize(("command", "name"), ELSEWHERE, ids=" ".join)
def test_options_of_other_commands_without_effect_are_refused(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command.split(), *ELSEWHERE[command, name]])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {flag_of(command, name)} has no effect with"), result.stderr
    assert not any(Path().iterdir())


DATA = {
    BUILT_IN: ("--task", "mnist1d"),
    FACTORY: ("--task", "absent_module:factory"),
    ARRAYS: ("--data", "d.npz"),
    TS: ("--data", "d_TRAIN.ts"),
    CSV: ("--data", "d.csv"),
    TABLE: ("--data", "d.parquet"),
    RECORDINGS: ("--data", "sounds"),
    IMAGES: ("--data", "images"),
}
"""A command line for each kind of data; of folders there is a file that nobody can read."""
FILES = {RECORDINGS: ("sounds", "a.wav"), IMAGES: ("images", "a.png")}
VALUES = {
    "lengths": "resample",
    "layout": "channels-last",
    "target_column": "label",
    "timestamps": "resample",
    "image_size": "8x8",
}


@pytest.mark.parametrize("kind", DataKind)
@pytest.mark.parametrize("name", VALUES)
def test_an_option_on_data_that_leaves_no_choice_is_refused(kind, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if kind in FILES:
        place, file = FILES[kind]
        (tmp_path / place / "a").mkdir(parents=True)
        (tmp_path / place / "a" / file).write_text("none")
    words = ["search", *DATA[kind], "--out", "o", flag_of("search", name), VALUES[name]]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    without = (
        f"error: {flag_of('search', name)} has no effect with {' '.join(DATA[kind])}: {kind.value}; leave"
    )
    assert result.stderr.startswith(without) == (kind not in EFFECTS["search"][name].data), result.stderr


@pytest.mark.parametrize("command", EFFECTS)
def test_the_table_names_commands_and_options_that_exist(command):
    options = {each.name for each in COMMANDS[command].params if each.param_type_name == "option"}
    for name, effect in EFFECTS[command].items():
        named = {name, *(word.partition("=")[0] for word in (*effect.needs, *effect.excludes))}
        assert named <= options


def test_what_the_environment_says_is_no_wish_for_this_call(monkeypatch, tmp_path):
    monkeypatch.setenv("DASHDEPLOY_TRACES", "http://127.0.0.1:4318")
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "none"), "--max-batch", "1"])
    assert "has no effect" not in result.stderr
