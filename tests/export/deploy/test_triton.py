"""The Triton repository: Triton's own message parses it, and `verify` finds what does not fit."""

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.errors import InputError
from dashdeploy.export.api import compile as compile_model
from dashdeploy.export.deploy.triton import PLAN, write_triton_repository
from dashdeploy.export.deploy.triton_config import triton_config
from dashdeploy.export.verify.verification import verify

BATCHES = (1, 8, 32)


def silent(_line):
    pass


def written(bundle, repository):
    write_triton_repository(Bundle.load(bundle), repository, BATCHES, silent)
    return repository / "rectifier"


def parsed(folder):
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


@pytest.fixture
def repository(written_bundle, tmp_path):
    written(written_bundle, tmp_path / "repository")
    return tmp_path / "repository"


def test_the_repository_is_laid_out_as_triton_wants_it(written_bundle, repository):
    model = repository / "rectifier"
    assert sorted(str(file.relative_to(repository)) for file in repository.rglob("*") if file.is_file()) == [
        "rectifier/1/model.onnx",
        "rectifier/config.pbtxt",
    ]
    assert (model / "1/model.onnx").read_bytes() == (written_bundle / "model.onnx").read_bytes()
    config = parsed(model)
    assert (config.name, config.backend, config.platform) == ("rectifier", "onnxruntime", "onnxruntime_onnx")
    assert config.max_batch_size == 32
    assert [(t.name, t.data_type, list(t.dims)) for t in (*config.input, *config.output)] == [
        ("x", pb.TYPE_FP32, [4]),
        ("y", pb.TYPE_FP32, [4]),
    ]
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 32]
    policy = config.dynamic_batching.default_queue_policy
    assert (policy.max_queue_size, policy.default_timeout_microseconds) == (256, 30_000_000)
    assert config.version_policy.latest.num_versions == 2
    assert [(group.kind, group.count) for group in config.instance_group] == [
        (pb.ModelInstanceGroup.KIND_AUTO, 1)
    ]
    assert [
        (w.batch_size, list(w.inputs["x"].dims), w.inputs["x"].random_data) for w in config.model_warmup
    ] == [
        (1, [4], True),
        (8, [4], True),
    ]
    findings = verify(repository, silent)
    assert findings.kind == "triton repository"
    assert len(findings.checks) == 2


def test_a_fixed_batch_is_not_batched(written_bundle):
    manifest = Bundle.load(written_bundle).manifest
    fixed = manifest.model_copy(
        update={
            "inputs": [spec.model_copy(update={"shape": (2, "length")}) for spec in manifest.inputs],
            "outputs": [spec.model_copy(update={"shape": (2, "length")}) for spec in manifest.outputs],
        }
    )
    config = text_format.Parse(triton_config(fixed, "m", PLAN, BATCHES, {}, batched=False), pb.ModelConfig())
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [2, -1]
    assert not config.model_warmup  # a dynamic axis has no length to warm up with
    assert (config.platform, config.default_model_filename) == ("tensorrt_plan", "model.plan")
    assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU


def test_rows_that_depend_on_each_other_are_not_batched(written_bundle, tmp_path):
    model = onnx.load(written_bundle / "model.onnx")
    node = model.graph.node[0]
    node.op_type = "Softmax"
    node.attribute.append(onnx.helper.make_attribute("axis", 0))  # over what looks like the batch
    onnx.save(model, written_bundle / "model.onnx")
    write_manifest(written_bundle, Bundle.load(written_bundle, verify=False).manifest)
    config = parsed(written(written_bundle, tmp_path / "repository"))
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [-1, 4]
    verify(tmp_path / "repository", silent)


def test_an_engine_becomes_a_model_of_its_own(written_bundle, tmp_path):
    (written_bundle / "model.engine").write_bytes(b"an engine that some GPU host built")
    write_manifest(written_bundle, Bundle.load(written_bundle, verify=False).manifest)
    written(written_bundle, tmp_path / "repository")
    folder = tmp_path / "repository" / "rectifier-tensorrt"
    assert (folder / "1/model.plan").read_bytes() == (written_bundle / "model.engine").read_bytes()
    assert parsed(folder).name == "rectifier-tensorrt"
    assert [check for check, _ in verify(tmp_path / "repository", silent).checks] == [
        "rectifier: config.pbtxt",
        "rectifier: version 1",
        "rectifier-tensorrt: config.pbtxt",
        "rectifier-tensorrt: version 1",
    ]


def test_labels_go_with_the_outputs(written_bundle, tmp_path):
    manifest = Bundle.load(written_bundle).manifest
    write_manifest(written_bundle, manifest.model_copy(update={"labels": ["low", "high"]}))
    folder = written(written_bundle, tmp_path / "repository")
    assert (folder / "labels.txt").read_text() == "low\nhigh\n"
    assert parsed(folder).output[0].label_filename == "labels.txt"
    (folder / "labels.txt").unlink()
    with pytest.raises(InputError, match=r"labels\.txt is missing"):
        verify(folder, silent)


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".hidden", "with space"])
def test_names_that_are_no_folders_are_refused(written_bundle, tmp_path, name):
    manifest = Bundle.load(written_bundle).manifest
    write_manifest(written_bundle, manifest.model_copy(update={"name": name}))
    with pytest.raises(InputError, match="choose another one with `name`"):
        written(written_bundle, tmp_path / "repository")


def change_model(bundle, **attributes):
    """Another model of the same interface, or with `attributes` of its first input."""
    model = onnx.load(bundle / "model.onnx")
    model.graph.node[0].op_type = "Sigmoid"
    for size in attributes.values():
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[1].dim_value = size
    onnx.save(model, bundle / "model.onnx")
    manifest = Bundle.load(bundle, verify=False).manifest
    if attributes:
        wide = {"shape": ("batch", attributes["width"])}
        manifest = manifest.model_copy(
            update={
                "inputs": [spec.model_copy(update=wide) for spec in manifest.inputs],
                "outputs": [spec.model_copy(update=wide) for spec in manifest.outputs],
            }
        )
    write_manifest(bundle, manifest)


def test_another_model_becomes_the_next_version(written_bundle, repository):
    model = repository / "rectifier"
    first = (model / "1/model.onnx").read_bytes()
    written(written_bundle, repository)  # the same model again changes nothing
    assert sorted(child.name for child in model.iterdir()) == ["1", "config.pbtxt"]
    change_model(written_bundle)
    written(written_bundle, repository)
    assert sorted(child.name for child in model.iterdir()) == ["1", "2", "config.pbtxt"]
    assert (model / "1/model.onnx").read_bytes() == first
    assert (model / "2/model.onnx").read_bytes() == (written_bundle / "model.onnx").read_bytes()
    assert len(verify(repository, silent).checks) == 3
    change_model(written_bundle, width=5)
    with pytest.raises(InputError, match="serves a model with other inputs"):
        written(written_bundle, repository)
    assert len(verify(repository, silent).checks) == 3


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("max_batch_size", "max_batchsize", r'config\.pbtxt: \d+:\d+ .*no field named "max_batchsize"'),
        ("TYPE_FP32", "TYPE_FP23", r"config\.pbtxt: \d+:\d+ .*TYPE_FP23"),
        ("TYPE_FP32", "TYPE_FP16", "has type 10 and dims"),
        ("dims: 4", "dims: 5", r"input x has .* dims \[5\], but the model's"),
        ('name: "x"', 'name: "z"', "does not describe the model's input x"),
        ('name: "rectifier"', 'name: "rectfier"', "the name is 'rectfier', but the folder's is 'rectifier'"),
        ('"model.onnx"', '"model.onx"', "has no model.onx"),
        ("max_batch_size: 32", "max_batch_size: 0", "but the model's"),
        ("sha256_of_version_1", "sha256_of_version_2", "no sha256 of this version"),
        ("dynamic_batching {", "dynamic_batching ", "config.pbtxt: "),
    ],
)
def test_a_typo_in_the_configuration_is_found(repository, right, wrong, message):
    path = repository / "rectifier" / "config.pbtxt"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(InputError, match=message) as error:
        verify(repository, silent)
    assert "\n" not in str(error.value)


def test_a_changed_or_missing_model_is_found(repository):
    model = repository / "rectifier" / "1" / "model.onnx"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.onnx does not match the sha256 in config\.pbtxt"):
        verify(repository, silent)
    model.unlink()
    with pytest.raises(InputError, match=r"has no model\.onnx"):
        verify(repository, silent)
    model.parent.rmdir()
    with pytest.raises(InputError, match="has no version"):
        verify(repository, silent)
    (repository / "stray").mkdir()
    (repository / "rectifier" / "config.pbtxt").unlink()
    with pytest.raises(InputError, match="no Triton repository"):
        verify(repository, silent)


def test_every_type_that_onnx_runtime_has_is_known():
    from dashdeploy.artifacts.tensor_spec import TensorSpec
    from dashdeploy.export.deploy.triton_config import type_of

    for name in ("float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool"):
        kind = type_of(TensorSpec(name="x", shape=(1,), dtype=name))
        expected = {"float": "FP", "int": "INT", "uint": "UINT", "bool": "BOOL"}
        letters = name.rstrip("0123456789")
        assert pb.DataType.Name(kind) == f"TYPE_{expected[letters]}{name[len(letters) :]}"
    assert type_of(TensorSpec(name="x", shape=(1,), dtype="object")) == pb.TYPE_STRING
    with pytest.raises(InputError, match="which Triton does not serve"):
        type_of(TensorSpec(name="x", shape=(1,), dtype="tensor(bfloat16)"))


@pytest.fixture
def elementwise(tmp_path, onnx_model):
    """A model whose tensors have the given axes, as a bundle."""

    def write(axes):
        model = onnx_model(f"g (float{axes} x, float{axes} k) => (float{axes} y) {{ y = Mul(x, k) }}")
        onnx.save(model, tmp_path / "m.onnx")
        return compile_model(tmp_path / "m.onnx", out=tmp_path / "rectifier", tune="estimate")

    return write


def test_a_tensor_that_is_a_batch_axis_alone_is_not_batched(elementwise, tmp_path):
    """Triton refuses a tensor without `dims`, and clients are to send the shape that the model has."""
    config = parsed(written(elementwise("[n]").path, tmp_path / "repository"))
    assert config.max_batch_size == 0
    assert [list(each.dims) for each in (*config.input, *config.output)] == [[-1]] * 3


def test_a_number_without_axes_is_refused(elementwise, tmp_path):
    with pytest.raises(InputError, match="x is a number without axes, which Triton does not serve"):
        written(elementwise("").path, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()
