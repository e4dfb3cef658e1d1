"""What an estimator leaves on disk: saved and loaded without pickles, read by the other stages, exported."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dashdeploy
from dashdeploy import DASHClassifier, DASHRegressor, InputError
from dashdeploy.estimators.description import DESCRIPTION_NAME, Classes
from dashdeploy.inspect.inspection import inspect_run
from dashdeploy.progress import silent


@pytest.fixture(scope="module")
def fitted(little, series):
    x, labels = series
    return DASHClassifier(**little).fit(x, np.array([10, 20, 40])[labels])


def test_saved_and_loaded_it_is_the_same(fitted, series, tmp_path):
    fitted.save(tmp_path / "saved")
    again = DASHClassifier.load(tmp_path / "saved")
    assert again.get_params() == fitted.get_params()
    assert (again.classes_.dtype, again.classes_.tolist()) == (fitted.classes_.dtype, [10, 20, 40])
    assert again.n_features_in_ == 2
    np.testing.assert_array_equal(again.predict_proba(series[0]), fitted.predict_proba(series[0]))
    again.save(tmp_path / "twice")
    files = {path.name for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert files == {path.name for path in (tmp_path / "twice").rglob("*") if path.is_file()}
    assert {name.rpartition(".")[2] for name in files} == {"json", "jsonl", "safetensors", "npz", "html"}
    # No array of the .npz file needs pickle either.
    with np.load(tmp_path / "saved" / "samples.npz", allow_pickle=False) as samples:
        assert samples["inputs"].shape[1:] == (2, 24)


def test_a_saved_one_is_a_run_and_so_is_what_fit_leaves_at_out(little, series, tmp_path):
    x, labels = series
    fitted = DASHClassifier(**little, out=tmp_path / "out").fit(x, labels)
    fitted.save(tmp_path / "saved")
    for path in (tmp_path / "out", tmp_path / "saved"):
        run = dashdeploy.Run.load(path)
        assert run.config["samples"] == {"train": 51, "validation": 9, "test": 0}
        assert run.metrics["backbone"] == {"validation": None, "test": None}
        assert run.metrics["metric"] == "accuracy"
        assert inspect_run(run).data["metrics"] == run.metrics
        assert "There were no test data." in (path / "report.html").read_text()
        again = DASHClassifier.load(path)
        np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    with pytest.raises(InputError, match="already exists; choose another `out`") as caught:
        fitted.fit(x, labels)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(InputError, match="saved already exists"):
        fitted.save(tmp_path / "saved")


def test_a_run_of_a_search_is_an_estimator_too(waves, little, tmp_path):
    names = np.array(["sparrow", "crane", "owl"])
    named = waves | {each: names[waves[each]] for each in ("y_train", "y_test")}
    settings = {name: little[name] for name in little if name not in ("settings", "random_state")}
    run = dashdeploy.search(named, out=tmp_path / "run", progress=silent, shortlist=1, **settings)
    classifier = DASHClassifier.load(tmp_path / "run")
    assert classifier.classes_.tolist() == ["crane", "owl", "sparrow"]
    assert classifier.score(waves["x_test"], named["y_test"]) == pytest.approx(
        run.metrics["searched"]["test"]
    )
    flat = waves["x_test"][:, 0]
    np.testing.assert_array_equal(classifier.predict(flat), classifier.predict(waves["x_test"]))
    with pytest.raises(InputError, match="run for classification, which DASHRegressor is not for"):
        DASHRegressor.load(tmp_path / "run")
    dashdeploy.search(waves, out=tmp_path / "numbered", progress=silent, shortlist=1, **settings)
    assert DASHClassifier.load(tmp_path / "numbered").classes_.tolist() == [0, 1, 2]


def test_an_exported_one_gives_the_same_answers(fitted, series, tmp_path):
    bundle = fitted.export(tmp_path / "bundle", tune="estimate")
    assert list(bundle.manifest.labels) == ["10", "20", "40"]
    assert bundle.manifest.source == "DASHClassifier"
    engine = dashdeploy.load_engine(bundle)
    x = series[0].astype(np.float32)
    (logits,) = engine.run({engine.inputs[0].name: x}).values()
    expected = fitted.predict_proba(x)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-5)  # the bundle's own tolerance
    with pytest.raises(InputError, match="the settings are") as caught:
        fitted.export(tmp_path / "other", precison="int8")
    assert isinstance(caught.value, ValueError)


@pytest.mark.slow
def test_an_exported_one_with_more_artifacts(fitted, series, tmp_path):
    artifacts = {"torchscript": True, "triton_repository": str(tmp_path / "repository")}
    bundle = fitted.export(tmp_path / "bundle", name="waves", artifacts=artifacts)
    x = torch.tensor(series[0], dtype=torch.float32)
    logits = torch.jit.load(bundle.path / "model.ts")(x)
    np.testing.assert_allclose(logits.softmax(1).numpy(), fitted.predict_proba(series[0]), atol=1e-5)
    assert (tmp_path / "repository" / "waves" / "config.pbtxt").exists()


def test_a_regressor_and_the_names_of_columns(little, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).standard_normal((12, 4)), columns=list("abcd"))
    regressor = DASHRegressor(**little).fit(frame, np.arange(24).reshape(12, 2))
    regressor.save(tmp_path / "saved")
    again = DASHRegressor.load(tmp_path / "saved")
    assert again.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(again.predict(frame), regressor.predict(frame))
    assert again.predict(frame).shape == (12, 2)
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame[list("dcba")])
    with pytest.raises(InputError, match="is a DASHRegressor; load it with that class"):
        DASHClassifier.load(tmp_path / "saved")


def test_a_damaged_description_is_named(fitted, tmp_path):
    fitted.save(tmp_path / "saved")
    path = tmp_path / "saved" / DESCRIPTION_NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"sample_shape": "wide"}))
    with pytest.raises(InputError, match=r"estimator.json: sample_shape: .*; save the estimator again"):
        DASHClassifier.load(tmp_path / "saved")
    path.write_text(json.dumps(content | {"parameters": {"depth": 3}}))
    with pytest.raises(InputError, match=r"estimator.json: .*'depth'; save the estimator again"):
        DASHClassifier.load(tmp_path / "saved")
    with pytest.raises(InputError, match="no such run"):
        DASHClassifier.load(tmp_path / "nowhere")


def test_what_json_does_not_have_is_refused(fitted, tmp_path):
    fitted.set_params(settings={"shortlist": 1 + 0j})
    try:
        with pytest.raises(InputError, match=r"estimator.json cannot hold a parameter"):
            fitted.save(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
    finally:
        fitted.set_params(settings={"shortlist": 1, "backbone_epochs": 1})


@given(
    st.one_of(
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, unique=True),
        st.lists(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), min_size=2
        ),
        st.just([False, True]),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2),
    ),
    st.booleans(),
)
def test_classes_come_back_as_they_were(values, as_objects):
    array = np.array(values, object) if as_objects and isinstance(values[0], str) else np.array(values)
    again = Classes.model_validate_json(Classes.of(array).model_dump_json()).array()
    assert again.dtype == array.dtype
    assert again.tolist() == array.tolist()
