"""inspect: what is in a run or a bundle."""

import json

import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.inspect.inspection import inspect


def test_a_run_layer_by_layer(written_run):
    found = inspect(written_run)
    first, second = found.data["layers"]
    assert (first["kernel_size"], first["dilation"], first["alpha_share"]) == (3, 1, 0.4)
    assert second["receptive_field"] == 5 * 6 + 1
    assert second["alpha_entropy"] == 0
    assert 0 < first["alpha_entropy"] < 1
    assert "0.875" in found.text and "0.75" in found.text


def test_the_short_list_of_a_run(written_run):
    rows = [
        {"candidate": 0, "kernels": [[3, 1], [7, 5]], "loss": 0.5, "validation": 0.8125, "gain": 0.0625},
        {"candidate": 1, "kernels": [[7, 1], [7, 1]], "loss": None, "validation": None, "gain": None},
        {"candidate": 2, "kernels": [[3, 1], [8, 1]], "loss": 0.4, "validation": 0.7, "gain": -0.05},
        {"candidate": 3, "kernels": [[8, 1], [5, 1]], "loss": 0.6, "validation": 0.75},
    ]
    rows[0]["standard_error"] = 0.0313
    content = {"metric": "accuracy", "folds": 2, "by": "metric", "margin": 1, "chosen": 0, "candidates": rows}
    (written_run / "shortlist.json").write_text(json.dumps(content))
    found = inspect(written_run)
    lines = {line.split("  ")[0]: line.split()[-4:] for line in found.text.splitlines()}
    assert lines["what was found, chosen"] == ["0.8125", "0.5", "0.0625", "0.0313"]
    assert lines["kernel 7, dilation 1 everywhere"] == ["-", "-", "-", "-"]
    assert "candidate 3" in lines and lines["the original kernels"][-2:] == ["-", "-"]
    assert found.data["shortlist"] == content
    (written_run / "shortlist.json").write_text('{"candidates": [')
    with pytest.raises(InputError, match=r"shortlist.json: it cannot be read .*; delete it, or search again"):
        inspect(written_run)


def test_successive_halving_says_how_far_each_trial_came(written_run):
    space = {"learning_rate": 0.1, "weight_decay": 5e-6, "momentum": 0.9}
    trials = [
        {"state": "complete", "value": 0.9, "epochs": 20, "rung": 4, **space, "seed": 4294967295},
        {"state": "pruned", "value": 0.5, "epochs": 2, "rung": 1, **space, "seed": 0},
        {"state": "complete", "value": None, "epochs": 0, "rung": None, **space, "seed": 1},
    ]
    content = {
        "way": "asha",
        "chosen": {**space, "dropout": None, "seed": 4294967295},
        "trials": trials,
    }
    (written_run / "tuning.json").write_text(json.dumps(content))
    found = inspect(written_run)
    assert (
        "tuning (asha, 3 trials): learning rate 0.1, weight decay 5e-06, momentum 0.9, seed 4294967295"
        in (found.text)
    )
    lines = [line.split() for line in found.text.splitlines() if line.startswith(("complete", "pruned"))]
    assert lines == [
        ["complete,", "chosen", "0.9", "20", "4", "0.1", "5e-06", "0.9", "4294967295"],
        ["pruned", "0.5", "2", "1", "0.1", "5e-06", "0.9", "0"],
        ["complete", "-", "0", "-", "0.1", "5e-06", "0.9", "1"],
    ]


def test_the_tuning_of_a_run(written_run):
    chosen = {"learning_rate": 0.1, "weight_decay": 5e-6, "momentum": 0.9, "dropout": None}
    content = {"way": "grid", "chosen": chosen, "trials": [{"state": "complete", "value": 0.75}] * 2}
    (written_run / "tuning.json").write_text(json.dumps(content))
    found = inspect(written_run)
    line = "tuning (grid, 2 trials): learning rate 0.1, weight decay 5e-06, momentum 0.9"
    assert line in found.text.splitlines()
    assert found.data["tuning"] == content
    for damaged in ("{", "{}", "[]", '{"way": "grid", "chosen": null, "trials": []}'):
        (written_run / "tuning.json").write_text(damaged)
        with pytest.raises(
            InputError, match=r"tuning.json: it cannot be read .*; delete it, or search again"
        ):
            inspect(written_run)


def test_a_run_as_json(written_run):
    result = CliRunner().invoke(app, ["inspect", str(written_run), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["kind"] == "run"


def test_a_layer_without_its_alpha(written_run):
    path = written_run / "architecture.json"
    path.write_text(path.read_text().replace('"kernel_size": 7', '"kernel_size": 9'))
    with pytest.raises(InputError, match=r"layer b: kernel 9, dilation 5 has no entry in its alpha"):
        inspect(written_run)


def test_a_bundle(written_bundle):
    found = inspect(written_bundle)
    assert "rectifier version 1, ort-cpu, fp32" in found.text
    assert "batch x 4" in found.text
    assert found.data["sizes"]["model.onnx"] == (written_bundle / "model.onnx").stat().st_size


def test_the_plan_of_a_bundle(written_bundle):
    text = inspect(written_bundle).text
    assert "16 -> 32, k 7, d 3, n 40" in text
    assert "fft(tile=16)" in text and "1.5x as fast as direct" in text
    assert "143360" in text and "0.0300" in text
    assert "of unknown size" in text and "the spatial size is dynamic" in text


def test_the_parity_of_a_bundle(written_bundle):
    text = inspect(written_bundle).text
    assert "parity with PyTorch: a relative error of 1e-05 is allowed" in text
    assert "random, batch 3" in text and "2.0e-07" in text


def test_the_artifacts_of_a_bundle(written_bundle):
    from dashdeploy.artifacts.bundle import Bundle, write_manifest

    parity = json.loads((written_bundle / "parity.json").read_text())
    sidecars = {
        "model.ts": {"torch": "2.13.0", "precision": "fp32", "parity": parity},
        "model.rtx": {
            "engine": "tensorrt-rtx",
            "version": "1.7",
            "compute_capabilities": ["8.6", "8.9"],
            "precision": "fp16",
            "batches": [1, 8, 32],
            "checked": "built",
        },
    }
    for name, sidecar in sidecars.items():
        (written_bundle / name).write_bytes(b"artifact")
        (written_bundle / f"{name}.json").write_text(json.dumps(sidecar))
    accuracy = {"measure": "accuracy", "samples": 256, "reference": 0.99, "model": 0.98, "allowed_drop": 0.01}
    (written_bundle / "parity.json").write_text(json.dumps({**parity, "accuracy": accuracy}))
    write_manifest(written_bundle, Bundle.load(written_bundle, verify=False).manifest)
    found = inspect(written_bundle)
    rows = {each["file"]: each for each in found.data["artefacts"]}
    assert list(rows) == ["model.onnx", "model.ts", "model.rtx"]
    assert rows["model.ts"]["runs_in"] == "torch 2.13.0"
    assert rows["model.rtx"]["runs_in"] == "tensorrt-rtx 1.7, compute capability 8.6, 8.9, batch 1 to 32"
    assert [each["precision"] for each in rows.values()] == ["fp32", "fp32", "fp16"]
    assert rows["model.onnx"]["checked"] == rows["model.ts"]["checked"] == "differs by 2.0e-07"
    assert rows["model.rtx"]["checked"] == "built, never run"
    assert (
        "accuracy on 256 validation samples: 0.9800, reference 0.9900; a drop of 0.01 is allowed"
        in found.text
    )


def test_a_bundle_that_was_changed(written_bundle):
    with (written_bundle / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match=r"model\.onnx does not match the sha256"):
        inspect(written_bundle)


def test_neither_run_nor_bundle(tmp_path):
    with pytest.raises(InputError, match="neither a run"):
        inspect(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        inspect(tmp_path / "absent")
