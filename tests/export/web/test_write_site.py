"""A bundle as a static site: what is written, what is checked before, and what is refused."""

import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dashdeploy.artifacts.atomic import sha256_of
from dashdeploy.artifacts.bundle import DIRECT_NAME, MODEL_NAME, Bundle, write_manifest
from dashdeploy.errors import GateError, InputError, MissingCapabilityError
from dashdeploy.export import pipeline
from dashdeploy.export.artifact_settings import ArtifactSettings
from dashdeploy.export.deploy.add_artifacts import add_artifacts
from dashdeploy.export.settings import ExportSettings
from dashdeploy.export.web import write_site as write_site_module
from dashdeploy.export.web.page_engine_check import Found
from dashdeploy.export.web.site_manifest import Site
from dashdeploy.export.web.write_site import write_site
from dashdeploy.runtimes.names import EngineName
from dashdeploy.runtimes.onnx_engines import ONNX_ENGINES
from dashdeploy.runtimes.ort_web import installation

MISSING = ONNX_ENGINES[EngineName.ORT_WEB].missing()
needs_node = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture
def bundle(searched, tmp_path):
    """A copy of the bundle, to be changed."""
    return Bundle.load(shutil.copytree(searched.bundle.path, tmp_path / "copy"))


def with_other_weights(bundle, name):
    """The bundle with one weight of a model changed by a hundredth of itself."""
    model = onnx.load(bundle.path / name)
    weight = max(model.graph.initializer, key=lambda each: np.prod(each.dims))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, bundle.path / name)
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": {}}))
    return Bundle.load(bundle.path)


@needs_node
def test_a_site_holds_what_the_bundle_says(searched, tmp_path):
    said = []
    site = write_site(searched.bundle, tmp_path / "site", said.append)
    folder = tmp_path / "site"
    assert Site.load(folder) == site
    for name, original in (("compiled", MODEL_NAME), ("direct", DIRECT_NAME)):
        file = site.files[name]
        assert (folder / file.path).read_bytes() == (searched.bundle.path / original).read_bytes()
        assert (file.bytes, file.sha256) == (
            (folder / file.path).stat().st_size,
            sha256_of(folder / file.path),
        )
        assert 0 < file.max_relative_error < 1e-5
        assert file.ms > 0
    assert site.labels == searched.labels
    assert site.inputs[0].model_dump() == {"name": "input", "datatype": "FP32", "shape": [-1, 2, 128]}
    assert site.checked_in.startswith(f"onnxruntime-web {site.engine} in Node ")
    assert (folder / "sample.json").read_bytes() == (searched.bundle.path / "sample.json").read_bytes()
    assert any("times as fast" in line for line in said)
    assert "compiled" in site.text(folder)
    # A web server that does not know .mjs says another type, and a browser runs no module of that.
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes == {"", ".html", ".js", ".css", ".json", ".onnx", ".wasm"}
    assert "require-corp" in (folder / "_headers").read_text()


@needs_node
def test_a_model_that_says_something_else_is_not_written(bundle, tmp_path):
    wrong = with_other_weights(bundle, MODEL_NAME)
    with pytest.raises(
        GateError, match=r"the compiled model does not agree with baseline/direct.onnx in onnxr"
    ):
        write_site(wrong, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@needs_node
@pytest.mark.parametrize(
    ("compiled", "direct", "uses"), [(2, 3, "compiled"), (3, 2.95, "compiled"), (3, 2, "direct")]
)
def test_the_page_predicts_with_the_faster_one(searched, tmp_path, monkeypatch, compiled, direct, uses):
    found = {"compiled": Found(1e-7, compiled), "direct": Found(1e-7, direct)}
    monkeypatch.setattr(write_site_module, "check_in_node", lambda *_: ("an engine", found))
    said = []
    assert write_site(searched.bundle, tmp_path / "site", said.append).uses == uses
    assert ("slower there" in said[-1]) == (uses == "direct")


@needs_node
def test_a_run_becomes_a_site_without_a_bundle(searched, tmp_path):
    artifacts = ArtifactSettings(web=tmp_path / "site")
    settings = ExportSettings(lowering="fft", tune="estimate", artifacts=artifacts)
    site = pipeline.export_site(searched.run, settings)
    assert site.name == "waves"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    with pytest.raises(InputError, match="site already exists; choose another `web`"):
        pipeline.export_site(searched.run, settings)
    more = settings.model_copy(update={"artifacts": ArtifactSettings(web=tmp_path / "other", pt2=True)})
    with pytest.raises(InputError, match=r"only `web` can be written without a bundle; .*`out`"):
        pipeline.export_site(searched.run, more)


@needs_node
def test_a_bundle_becomes_a_site_and_stays_as_it_is(bundle, tmp_path):
    before = (bundle.path / "bundle.json").read_bytes()
    settings = ExportSettings(name="other", artifacts=ArtifactSettings(web=tmp_path / "site"))
    add_artifacts(bundle.path, None, settings)
    assert Site.load(tmp_path / "site").name == "other"
    assert (bundle.path / "bundle.json").read_bytes() == before
    within = ExportSettings(artifacts=ArtifactSettings(web=bundle.path / "site"))
    with pytest.raises(InputError, match=r"`web=.*` is within the bundle"):
        add_artifacts(bundle.path, None, within)


@needs_node
def test_tensors_in_files_beside_a_model_are_taken_in(bundle, tmp_path):
    model = onnx.load(bundle.path / DIRECT_NAME)
    onnx.save(
        model, bundle.path / DIRECT_NAME, save_as_external_data=True, location="weights", size_threshold=64
    )
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"files": {}}))
    site = write_site(Bundle.load(bundle.path), tmp_path / "site")
    assert site.files["direct"].max_relative_error < 1e-5
    assert not (tmp_path / "site" / "weights").exists()


def test_a_machine_without_the_engine_is_told_before_long_work(searched, tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "_roots", lambda: (tmp_path / "nowhere",))
    settings = ExportSettings(artifacts=ArtifactSettings(web=tmp_path / "site"))
    for call in (
        lambda: pipeline.export_site(searched.run, settings),
        lambda: add_artifacts(searched.bundle.path, None, settings),
        lambda: pipeline.export(searched.run, tmp_path / "bundle", settings),
    ):
        with pytest.raises(
            MissingCapabilityError,
            match=r"onnxruntime-web .* is not installed; install it with: .*ort_web\.installation",
        ):
            call()
    assert not list(tmp_path.iterdir())


@needs_node
def test_without_node_the_site_is_written_and_says_that_it_was_not_checked(searched, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    said = []
    site = write_site(searched.bundle, tmp_path / "site", said.append)
    assert site.checked_in is None
    assert site.files["compiled"].max_relative_error is None
    assert "not checked in onnxruntime-web" in said[-1]
    assert "not checked" in site.text(tmp_path / "site")


def test_what_is_no_site_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is not a site of `web`: it has no site\.json"):
        Site.load(tmp_path)
    (tmp_path / "site.json").write_text("{}")
    with pytest.raises(InputError, match=r"site\.json: .*; write the site again with `web`"):
        Site.load(tmp_path)
