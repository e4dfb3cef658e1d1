"""Every option of every command but ``export``: two values of it must come to something else, or it must be refused.

Commands that measure, search or serve for minutes are followed up to the library's function, whose arguments are
compared; the others run. ``export``, where all of it is run, is walked by test_effects.py.
"""

import dataclasses
import importlib
import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import typer
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle
from dashdeploy.bench.show.results import load_result
from dashdeploy.cli.app import app

ROOT = get_command(app).commands
COMMANDS = {**ROOT, **{f"bench {name}": command for name, command in ROOT["bench"].commands.items()}}
RESULTS = Path(__file__).parents[2] / "docs" / "results"
LOUDNESS = {"quiet", "verbose", "help"}
"""How much is told; test_cli.py is about these."""

FOLLOWED_TO = {
    "search": ("search.pipeline.search", "search.pipeline.join"),
    "serve": ("serve.server.serve",),
    "bench latency": ("bench.latency.measure.measure_latency", "bench.loadgen.measure.measure_loadgen"),
    "bench networks": (
        "bench.networks.measure.exported_networks",
        "bench.networks.measure.save_networks",
        "bench.latency.measure.measure_latency",
    ),
    "bench engines": ("bench.engines.models.of_networks", "bench.engines.measure.measure_engines"),
    "bench layers": ("bench.layers.measure.measure_layers",),
    "bench search-cost": ("bench.search_cost.measure.measure_search_cost",),
    "bench accuracy": ("bench.accuracy.measure.measure_accuracy",),
    "bench serve": ("bench.serve.measure.measure_serving",),
}
STORED = {
    "bench latency": "latency-demo.json",
    "bench search-cost": "search-cost-lengths.json",
    "bench accuracy": "accuracy-mnist1d.json",
}
"""What the function is made to give, for the options of what is done with a result."""

DATA = ("--data", "{here}/data.npz", "--out", "run")
HOLES = ("--data", "{here}/holes.npz", "--out", "run")
BUNDLE = ("{here}/bundle",)
TABLE = ("--data", "{here}/table.csv", "--out", "run")
STAMPED = ("--data", "{here}/stamped_TRAIN.ts", "--out", "run")
PICTURES = ("--data", "{here}/pictures", "--out", "run")
RAGGED = ("--data", "{here}/ragged_TRAIN.ts", "--out", "run")
TLS = ("--tls-certificate", "{here}/a.txt")
PLAIN = {
    "search": DATA,
    "serve": BUNDLE,
    "bench latency": BUNDLE,
    "bench networks": ("resnet1d",),
    "bench engines": BUNDLE,
    "bench layers": (),
    "bench search-cost": (),
    "bench accuracy": ("--out", "runs", "--tasks", "mnist1d"),
    "bench serve": BUNDLE,
    "bench show": (f"{RESULTS}/latency-demo.json",),
    "inspect": BUNDLE,
    "verify": BUNDLE,
    "doctor": (),
    "tasks": (),
}
"""The words besides the option; a case may bring its own."""

OFFLINE, SERVER = (("{here}/bundle", "--loadgen", kind) for kind in ("offline", "server"))
ASKS = (*SERVER, "--url", "http://127.0.0.1:9")
CASES = {
    "search": {
        "out": ("one", "two", ("--data", "{here}/data.npz")),
        "time_limit": ("1m", "2m"),
        "resume": (None, True),
        "join": (None, True),
        "task": ("mnist1d", "{here}/nobody", ("--out", "run")),
        "data": ("{here}/data.npz", "{here}/holes.npz", ("--out", "run")),
        "data_dir": (None, "{here}"),
        "predict": ("classification", "multi-label"),
        "loss": ("cross_entropy", "focal"),
        "metric": ("accuracy", "f1"),
        "normalize": ("channels", "sizes"),
        "lengths": ("pad", "resample", RAGGED),
        "missing": ("interpolate", "mean", HOLES),
        "layout": ("channels-first", "channels-last"),
        "target_column": ("0", "1", TABLE),
        "timestamps": ("refuse", "resample", STAMPED),
        "image_size": ("8x8", "8x4", PICTURES),
        "backbone": ("resnet1d", "tcn"),
        "width": ("4", "8"),
        "kernel_sizes": ("3,5", "3,7"),
        "dilations": ("1,2", "1,3"),
        "exclude": (None, "*.2"),
        "separable": (None, True),
        "method": ("fourier", "mixed-weights"),
        "search_epochs": ("1", "2"),
        "retrain_epochs": ("1", "2"),
        "ensemble": ("1", "2"),
        "tune": ("none", "grid"),
        "devices": ("cpu", "cpu:2"),
        "seed": ("1", "2"),
        "latency_weight": ("0.1", "0.2"),
        "latency_budget": ("1ms", "2ms"),
        "target": ("ort-cpu", "openvino", (*DATA, "--latency-weight", "0.5")),
        "device": ("l4", "h100", (*DATA, "--latency-weight", "0.5", "--target", "tensorrt")),
        "preset": ("quick", "paper"),
        "config": ("{here}/one.json", "{here}/two.json"),
        "assignments": ("momentum=0.5", "momentum=0.6"),
        "as_json": (None, True, (*DATA, "--join")),
    },
    "serve": {
        "host": ("127.0.0.1", "127.0.0.2"),
        "http_port": ("1", "2"),
        "grpc_port": ("1", "2"),
        "allow_remote": (None, True),
        "grpc_reflection": (None, True),
        "engine": ("ort-cpu", "openvino"),
        "threads": ("1", "2"),
        "instances": ("1", "2"),
        "reload_seconds": ("1", "2"),
        "latest": ("1", "2"),
        "version_policy": ("latest:1", "all"),
        "allow_model_control": (None, True),
        "max_batch": ("8", "16"),
        "batch_delay": ("1", "2"),
        "preferred_batches": ("4", "8"),
        "measure_batches": (True, False),
        "queue_size": ("1", "2"),
        "max_sequences": ("1", "2"),
        "sequence_idle_seconds": ("1", "2"),
        "request_timeout": ("1", "2"),
        "drain_seconds": ("1", "2"),
        "body_limit": ("1", "2"),
        "api_key_file": ("{here}/a.txt", "{here}/b.txt"),
        "tls_certificate": ("{here}/a.txt", "{here}/b.txt"),
        "tls_key": ("{here}/a.txt", "{here}/b.txt", (*BUNDLE, *TLS)),
        "access_log": ("one.log", "two.log"),
        "traces": ("http://127.0.0.1:1", "http://127.0.0.1:2"),
    },
    "bench latency": {
        "networks": ("nobody", "noone"),
        "batches": ("1", "8"),
        "threads": ("1", "1,2"),
        "seconds": ("1", "2"),
        "engine": ("ort-cpu", "openvino"),
        "device": ("cpu", "cuda", (*BUNDLE, "--engine", "torch")),
        "precisions": ("fp32", "fp32,bf16", (*BUNDLE, "--engine", "torch")),
        "memory": (None, True),
        "profile": (None, True),
        "loadgen": ("offline", "server", (*BUNDLE, "--url", "http://127.0.0.1:9")),
        "url": ("http://127.0.0.1:8", "http://127.0.0.1:9", SERVER),
        "qps": ("1", "2", ASKS),
        "bound": ("1", "2", ASKS),
        "json_file": ("one.json", "two.json"),
        "report_file": ("one.html", "two.html"),
    },
    "bench networks": {
        "batches": ("1", "8"),
        "threads": ("1", "2"),
        "seconds": ("1", "2"),
        "target": ("ort-cpu", "openvino"),
        "cpu_time": (None, True),
        "save": ("one", "two"),
        "json_file": ("one.json", "nowhere/one.json"),
        "report_file": ("one.html", "nowhere/one.html"),
    },
    "bench engines": {
        "networks": ("nobody", "noone"),
        "engines": ("ort-cpu", "openvino"),
        "batch": ("1", "2"),
        "threads": ("1", "2"),
        "seconds": ("1", "2"),
        "memory": (True, False),
        "json_file": ("one.json", "nowhere/one.json"),
        "report_file": ("one.html", "nowhere/one.html"),
    },
    "bench layers": {
        "rank": ("1", "2"),
        "batches": ("1", "8"),
        "channels": ("64", "128"),
        "threads": ("1", "2"),
        "seconds": ("1", "2"),
        "json_file": ("one.json", "nowhere/one.json"),
        "report_file": ("one.html", "nowhere/one.html"),
    },
    "bench search-cost": {
        "methods": ("auto", "auto,fourier"),
        "device": ("cpu", "cuda"),
        "rank": ("1", "2"),
        "sizes": ("1", "2"),
        "lengths": ("250", "500"),
        "quick": (None, True),
        "threads": ("1", "2"),
        "seconds": ("1", "2"),
        "rounds": ("3", "4"),
        "memory": (True, False),
        "plot": ("one.svg", "two.svg"),
        "json_file": ("one.json", "two.json"),
        "report_file": ("one.html", "two.html"),
    },
    "bench accuracy": {
        "out": ("one", "two", ()),
        "tasks": ("mnist1d", "osuleaf", ("--out", "runs")),
        "data": ("{here}/data.npz", "{here}/table.csv"),
        "seeds": ("1", "2"),
        "preset": ("quick", "paper"),
        "settings": ("momentum=0.5", "momentum=0.6"),
        "jobs": ("1", "2"),
        "json_file": ("one.json", "two.json"),
        "report_file": ("one.html", "two.html"),
    },
    "bench serve": {
        "connections": ("1", "2"),
        "threads": ("1", "2"),
        "seconds": ("1", "2"),
        "peer": ("one", "two"),
        "json_file": ("one.json", "nowhere/one.json"),
        "report_file": ("one.html", "nowhere/one.html"),
    },
    "bench show": {"report": ("one.html", "two.html"), "as_json": (None, True)},
    "inspect": {"report": ("one.html", "two.html"), "as_json": (None, True)},
    "verify": {"as_json": (None, True)},
    "doctor": {"as_json": (None, True), "gpu": (None, True)},
    "tasks": {"as_json": (None, True)},
}
"""Two values of every option, and the words beside it where those of PLAIN do not let it work."""

WITH = {
    ("bench search-cost", "quick"): [("seconds", "0.5", "0.7"), ("seconds", "3", "4"), ("rounds", "1", "9")],
    ("bench latency", "loadgen"): [("batches", "1,8", "4,8"), ("threads", "1,2", "1,4")],
}
"""Options that another one might silence: the second's name and its two values."""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Data, settings and a bundle for the command lines."""
    folder = tmp_path_factory.mktemp("here")
    generator = np.random.default_rng(0)
    arrays = {
        f"{side}_{part}": generator.standard_normal((24, 2, 32)).astype("f4")
        if side == "x"
        else np.arange(24) % 3
        for side in "xy"
        for part in ("train", "test")
    }
    np.savez(folder / "data.npz", **arrays)
    arrays["x_train"][3, 1, 5:9] = np.nan
    np.savez(folder / "holes.npz", **arrays)
    for name, momentum in (("one", 0.5), ("two", 0.6)):
        (folder / f"{name}.json").write_text(json.dumps({"momentum": momentum}))
    for name in "ab":
        (folder / f"{name}.txt").write_text(f"key-{name}\n")
    for part in ("TRAIN", "TEST"):
        lines = [",".join(map(str, range(1, 8 + each % 5))) + f":{'ab'[each % 2]}" for each in range(24)]
        head = "@problemName ragged\n@univariate true\n@equalLength false\n@classLabel true a b\n@data\n"
        (folder / f"ragged_{part}.ts").write_text(head + "\n".join(lines) + "\n")
    table = "\n".join(f"{row % 3},{row % 2},{row * 0.5 + 0.1:.1f}" for row in range(40))
    (folder / "table.csv").write_text(f"kind,other,value\n{table}\n")
    for part in ("TRAIN", "TEST"):
        rows = "\n".join(f"(0,{row % 5}),(1,2),(3,4),(4,1):{'ab'[row % 2]}" for row in range(24))
        head = "@problemName stamped\n@timestamps true\n@univariate true\n@classLabel true a b\n@data\n"
        (folder / f"stamped_{part}.ts").write_text(head + rows + "\n")
    for number in range(24):
        place = folder / "pictures" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (12, 12), dtype=np.uint8)).save(place)
    text = """<ir_version: 9, opset_import: ["" : 17]>
    g (float[b,2,64] x) => (float[b,4,64] y) <float[4,2,9] w> { y = Conv<pads = [4,4]>(x, w) }"""
    model = onnx.parser.parse_model(text)
    weights = generator.standard_normal((4, 2, 9)).astype("f4")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    del model.graph.input[1:], model.graph.value_info[:]
    onnx.save(model, folder / "model.onnx")
    words = [
        "export",
        folder / "model.onnx",
        "--out",
        folder / "bundle",
        "--lowering",
        "direct",
        "--tune",
        "estimate",
    ]
    assert CliRunner().invoke(app, [*map(str, words), "--quiet"]).exit_code == 0
    return folder


def told(value):
    """A value as text that two equal values share: arrays by their content, objects by their fields."""
    if isinstance(value, np.ndarray) or hasattr(value, "numpy"):
        return np.asarray(value).tobytes().hex()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: told(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(each) for each in value]
    if hasattr(value, "__dict__") and type(value).__module__.startswith(("dashdeploy", "torch.utils")):
        return {key: told(each) for key, each in vars(value).items()}
    if isinstance(value, partial):
        return [told(value.func), told(value.args), told(value.keywords)]
    if callable(value):
        return getattr(value, "__qualname__", repr(value))
    plain = (str, int, float, bool, range, Path, frozenset, type(None))
    return repr(value) if isinstance(value, plain) else None


def outcome(command, words, here, folder, monkeypatch):
    """Everything that a command line comes to."""
    folder.mkdir()
    calls = []
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DASHDEPLOY_CACHE", str(here / "cache"))
        for function in FOLLOWED_TO.get(command, ()):

            def follow(*arguments, _name=function, **more):
                more.pop("progress", None)
                calls.append((_name, told(arguments), told(more)))
                if _name.endswith("join"):
                    return 3  # trials
                if _name.endswith("exported_networks"):
                    return nullcontext([Bundle.load(here / "bundle")])
                if command not in STORED or "loadgen" in _name:
                    raise typer.Exit
                return load_result(RESULTS / STORED[command])

            module, _, name = function.rpartition(".")
            patch.setattr(importlib.import_module(f"dashdeploy.{module}"), name, follow)
        result = CliRunner().invoke(
            app, [*command.split(), *(word.replace("{here}", str(here)) for word in words)]
        )
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    error = result.stderr.splitlines()[-1:] if result.exit_code else []
    return {"code": result.exit_code, "error": error, "calls": calls, "out": result.stdout, "files": files}


def spelled(command, name, value):
    option = next(each for each in COMMANDS[command].params if each.name == name)
    if value is None:
        return ()
    if value is False:
        return (option.secondary_opts[0],)
    return (option.opts[0],) if value is True else (option.opts[0], value)


def check(command, name, first, second):
    assert first != second, f"{command}: nothing changes with the option {name}"
    for each in (first, second):
        assert each["code"] in (0, 1, 3), each
        if each["code"] and not each["calls"]:
            assert each["error"][0].startswith("error: "), each


def test_the_table_names_every_option_of_every_command():
    options = {
        command: {each.name for each in COMMANDS[command].params if each.param_type_name == "option"}
        - LOUDNESS
        for command in COMMANDS
        if command not in ("bench", "export")
    }
    assert options == {command: set(cases) for command, cases in CASES.items()}


@pytest.mark.parametrize(
    ("command", "name"), [(command, name) for command in CASES for name in CASES[command]]
)
def test_an_option_changes_something_or_is_refused(command, name, here, tmp_path, monkeypatch):
    first, second, *others = CASES[command][name]
    plain = others[0] if others else PLAIN[command]
    # The option under test replaces its own place among the plain words.
    words = list(plain)
    flag = spelled(command, name, "x")[0] if first is not None and first is not True else None
    if flag in words:
        place = words.index(flag)
        del words[place : place + 2]
    tried = [
        outcome(command, [*words, *spelled(command, name, value)], here, tmp_path / str(place), monkeypatch)
        for place, value in enumerate((first, second))
    ]
    check(command, name, *tried)


@pytest.mark.parametrize(
    ("command", "silencer", "name", "values"),
    [
        (command, silencer, name, values)
        for (command, silencer), cases in WITH.items()
        for name, *values in cases
    ],
)
def test_an_option_beside_another_is_not_silenced(
    command, silencer, name, values, here, tmp_path, monkeypatch
):
    second = CASES[command][silencer][1]
    with_it = spelled(command, silencer, "offline" if silencer == "loadgen" else second)
    tried = [
        outcome(
            command,
            [*PLAIN[command], *with_it, *spelled(command, name, value)],
            here,
            tmp_path / str(place),
            monkeypatch,
        )
        for place, value in enumerate(values)
    ]
    check(command, name, *tried)
