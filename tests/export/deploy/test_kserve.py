"""The InferenceService: KServe's fields, and refusals of any other."""

import pytest
import yaml

from dashdeploy.artifacts.bundle import Bundle, write_manifest
from dashdeploy.errors import InputError
from dashdeploy.export.deploy.kserve import write_kserve
from dashdeploy.export.verify.verification import verify


def written(bundle, path, uri="s3://models/repository"):
    write_kserve(Bundle.load(bundle), path, uri, 32)
    return yaml.safe_load(path.read_text())


def test_the_fields_are_those_of_the_api(written_bundle, tmp_path):
    service = written(written_bundle, tmp_path / "service.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert service["metadata"]["name"] == "rectifier"
    assert (
        service["metadata"]["annotations"]["dashdeploy/sha256"]
        == (Bundle.load(written_bundle).manifest.files["model.onnx"])
    )
    predictor = service["spec"]["predictor"]
    assert predictor["minReplicas"] <= predictor["maxReplicas"]
    model = predictor["model"]
    assert model["modelFormat"] == {"name": "triton", "version": "2"}
    assert (model["protocolVersion"], model["runtime"]) == ("v2", "kserve-tritonserver")
    assert model["storageUri"] == "s3://models/repository"
    assert "nvidia.com/gpu" not in model["resources"]["limits"]
    findings = verify(tmp_path / "service.yaml", lambda _line: None)
    assert findings.kind == "inference service"


def test_an_engine_asks_for_a_gpu(written_bundle, tmp_path):
    (written_bundle / "model.engine").write_bytes(b"an engine that some GPU host built")
    write_manifest(written_bundle, Bundle.load(written_bundle, verify=False).manifest)
    service = written(written_bundle, tmp_path / "service.yaml")
    assert service["spec"]["predictor"]["model"]["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.parametrize(
    ("name", "label"),
    [("MNIST_1d.v2", "mnist-1d-v2"), ("1d", "model-1d"), ("Ü", "model"), ("a" * 80, "a" * 63), ("-a-", "a")],
)
def test_names_become_those_that_kubernetes_takes(written_bundle, tmp_path, name, label):
    manifest = Bundle.load(written_bundle).manifest
    write_manifest(written_bundle, manifest.model_copy(update={"name": name}))
    assert written(written_bundle, tmp_path / "service.yaml")["metadata"]["name"] == label


def test_a_storage_that_kserve_does_not_read_is_refused(written_bundle, tmp_path):
    with pytest.raises(InputError, match=r"`storage_uri=/models`: KServe reads pvc://"):
        written(written_bundle, tmp_path / "service.yaml", "/models")
    assert not (tmp_path / "service.yaml").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("storageUri", "storageURI", "spec.predictor.model.storageUri: Field required"),
        ("minReplicas", "minReplica", "spec.predictor.minReplica: Extra inputs"),
        ("protocolVersion: v2", "protocolVersion: v1", "spec.predictor.model.protocolVersion"),
        ("name: rectifier", "name: Rectifier", "metadata.name"),
        ("kind: ", "kind: [", "service.yaml: "),
    ],
)
def test_typos_are_found(written_bundle, tmp_path, right, wrong, message):
    path = tmp_path / "service.yaml"
    written(written_bundle, path)
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong, 1))
    with pytest.raises(InputError, match=message) as error:
        verify(path, lambda _line: None)
    assert "\n" not in str(error.value)
