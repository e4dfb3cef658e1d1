"""A Triton repository never mixes models: which bundles are versions of one model, and which are not."""

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from typer.testing import CliRunner

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.cli.app import app
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.model_identity import ModelIdentity, structure_of
from dashdeploy.export.deploy.triton import write_triton_repository
from dashdeploy.export.deploy.triton_config import parse_config

TEXT = "g (float[b,4,64] x) => (float[b,4,64] y) { h = Conv<pads = [4,4]>(x, w)  y = Relu(h) }"
FIXED = TEXT.replace("[b,", "[2,")
BATCHES = (1, 8, 32)


def export(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


@pytest.fixture
def bundle(tmp_path, onnx_model, monkeypatch):
    """Exports a model to ``FOLDER/bundle``, from a file that is always called model.onnx."""
    monkeypatch.chdir(tmp_path)

    def exported(folder, text=TEXT, *, seed=0, labels=(), **weights):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "model.onnx"
        onnx.save(onnx_model(text, seed=seed, **(weights or {"w": (4, 4, 9)})), path)
        words = ("--out", f"{folder}/bundle", "--lowering", "direct", "--tune", "estimate", "--quiet")
        result = export(path, *words)
        assert result.exit_code == 0, result.stderr
        if labels:
            manifest = Bundle.load(f"{folder}/bundle").manifest
            write_manifest(tmp_path / folder / "bundle", manifest.model_copy(update={"labels": list(labels)}))
        return Bundle.load(f"{folder}/bundle")

    return exported


def versions(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_a_model_that_was_trained_again_becomes_the_next_version(bundle, tmp_path):
    for seed in (1, 2):
        write_triton_repository(bundle(f"training{seed}", seed=seed), tmp_path / "repository", BATCHES)
    assert versions(tmp_path / "repository/bundle") == ["1", "2"]


def test_another_network_from_a_file_of_the_same_name_is_refused_and_takes_a_name(bundle, tmp_path):
    bundle("walking"), bundle("heartbeat", TEXT.replace("Relu", "Tanh"))
    assert export("walking/bundle", "--triton-repository", "repository").exit_code == 0
    before = (tmp_path / "repository/bundle/config.pbtxt").read_bytes()
    refused = export("heartbeat/bundle", "--triton-repository", "repository")
    assert refused.exit_code == 1
    assert "holds a model of model.onnx, and this one of model.onnx is another network" in refused.stderr
    assert "give it a --name of its own" in refused.stderr
    assert (tmp_path / "repository/bundle/config.pbtxt").read_bytes() == before
    assert versions(tmp_path / "repository/bundle") == ["1"]
    renamed = export("heartbeat/bundle", "--triton-repository", "repository", "--name", "heartbeat")
    assert renamed.exit_code == 0, renamed.stderr
    assert versions(tmp_path / "repository/heartbeat") == ["1"]


def test_who_names_another_model_a_version_is_told_what_it_replaces(bundle):
    bundle("walking"), bundle("heartbeat", TEXT.replace("Relu", "Tanh"))
    assert export("walking/bundle", "--triton-repository", "repository").exit_code == 0
    named = export("heartbeat/bundle", "--triton-repository", "repository", "--name", "bundle")
    assert named.exit_code == 0
    assert "is another network: by its name it becomes a new version" in named.stderr


def test_other_labels_are_refused_under_any_name_that_is_taken(bundle, tmp_path):
    walking = bundle("walking", seed=1, labels=("walk", "run", "sit", "lie"))
    heartbeat = bundle("heartbeat", seed=2, labels=("normal", "early", "late", "fused"))
    write_triton_repository(walking, tmp_path / "repository", BATCHES)
    for named in (False, True):
        with pytest.raises(InputError, match="other labels"):
            write_triton_repository(heartbeat, tmp_path / "repository", BATCHES, named=named)
    assert (tmp_path / "repository/bundle/labels.txt").read_text() == "walk\nrun\nsit\nlie\n"


def test_a_repository_of_an_earlier_version_takes_a_model_of_the_same_interface(bundle, tmp_path):
    first, second = bundle("walking"), bundle("heartbeat", TEXT.replace("Relu", "Tanh"))
    write_triton_repository(first, tmp_path / "repository", BATCHES)
    path = tmp_path / "repository/bundle/config.pbtxt"
    config = parse_config(path)
    for parameter in ModelIdentity.of(first).parameters():
        del config.parameters[parameter]
    path.write_text(text_format.MessageToString(config))
    assert ModelIdentity.recorded(config) == ModelIdentity(None, None)
    write_triton_repository(second, tmp_path / "repository", BATCHES)
    assert versions(tmp_path / "repository/bundle") == ["1", "2"]
    assert ModelIdentity.recorded(parse_config(path)) == ModelIdentity.of(second)


def test_nothing_is_written_where_one_of_two_models_is_refused(bundle, tmp_path):
    first, second = bundle("walking", seed=1), bundle("heartbeat", seed=2)
    for each in (first, second):
        (each.path / "model.engine").write_bytes(str(each.path).encode())
        write_manifest(each.path, each.manifest)
    write_triton_repository(Bundle.load(first.path), tmp_path / "repository", BATCHES)
    path = tmp_path / "repository/bundle-tensorrt/config.pbtxt"
    path.write_text(path.read_text().replace('name: "y"', 'name: "z"'))
    with pytest.raises(InputError, match="bundle-tensorrt serves a model with other outputs"):
        write_triton_repository(Bundle.load(second.path), tmp_path / "repository", BATCHES)
    assert versions(tmp_path / "repository/bundle") == ["1"]


def test_other_batches_reach_a_model_that_is_there_already(bundle, tmp_path):
    bundle("walking")
    path = tmp_path / "repository/bundle/config.pbtxt"
    for words, largest in (((), 32), (("--engine-batches", "1,2,4"), 4), ((), 4)):
        assert export("walking/bundle", "--triton-repository", "repository", *words).exit_code == 0
        assert (parse_config(path).max_batch_size, versions(path.parent)) == (largest, ["1"])


@pytest.mark.parametrize("batches", ["1,16,64", "1,8,32"])
def test_batches_that_a_fixed_batch_does_not_have_are_refused_with_those_it_has(bundle, tmp_path, batches):
    bundle("fixed", FIXED)
    for source in ("fixed/bundle", "fixed/model.onnx"):
        words = ("--triton-repository", "repository", "--engine-batches")
        out = ("--out", "out", "--lowering", "direct", "--tune", "estimate") if source.endswith("x") else ()
        refused = export(source, *out, *words, batches)
        assert refused.exit_code == 1
        expected = f"error: --engine-batches {batches}: the model's batch is fixed at 2; use 2,2,2 or leave"
        assert expected in refused.stderr
        assert "compiled model agrees" not in refused.stderr  # it is known before the long work
        assert not (tmp_path / "repository").exists()
        assert not (tmp_path / "out").exists()
        assert export(source, *out, *words, "2,2,2").exit_code == 0
        for folder in ("repository", "out"):
            if (tmp_path / folder).exists():
                (tmp_path / folder).rename(tmp_path / f"{folder} of {source.replace('/', ' ')}")


def test_names_and_weights_do_not_change_a_structure_but_operators_and_shapes_do(onnx_model):
    model = onnx_model(TEXT, w=(4, 4, 9))
    renamed = onnx_model(TEXT.replace("h", "hidden").replace("w)", "v)"), seed=5, v=(4, 4, 9))
    assert structure_of(renamed.graph) == structure_of(model.graph)
    others = [
        onnx_model(TEXT.replace("Relu", "Tanh"), w=(4, 4, 9)),
        onnx_model(TEXT.replace("[4,4]", "[3,5]"), w=(4, 4, 9)),
        onnx_model(TEXT.replace("[4,4]", "[3,3]"), w=(4, 4, 7)),
        onnx_model(TEXT.replace("Relu(h)", "Add(h, x)"), w=(4, 4, 9)),
        onnx_model(TEXT.replace("Relu(h)", "Add(h, h)"), w=(4, 4, 9)),
        onnx_model(TEXT, w=np.zeros((4, 4, 9), np.float64)),
    ]
    digests = [structure_of(other.graph) for other in (model, *others)]
    assert len(set(digests)) == len(digests)
