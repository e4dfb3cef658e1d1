"""The estimators with series and images, as a part of scikit-learn's own tools, and what they refuse."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import dashdeploy
from dashdeploy import DASHClassifier, DASHRegressor, InputError

NAMES = np.array(["low", "middle", "high"])


@pytest.fixture(scope="module")
def fitted(little, series):
    x, labels = series
    return DASHClassifier(**little).set_params(retrain_epochs=12).fit(x, NAMES[labels])


def test_it_learns_series_of_several_channels(fitted, series):
    x, labels = series
    assert fitted.classes_.tolist() == ["high", "low", "middle"]
    assert fitted.n_features_in_ == 2
    assert fitted.score(x, NAMES[labels]) > 0.95  # 1 when this was written, chance is 0.33
    assert fitted.predict(x).tolist() == fitted.classes_[fitted.predict_proba(x).argmax(1)].tolist()
    assert fitted.metrics_["searched"] == {"validation": None, "test": None}
    assert {layer.kernel_size for layer in fitted.architecture_.layers} <= {3, 5}


def test_probabilities_are_those_of_the_run_s_network(little, series, tmp_path):
    """The run's own network, called on the data as they are."""
    x, labels = series
    classifier = DASHClassifier(**little, out=tmp_path / "run").fit(x, labels)
    network = dashdeploy.Run.load(tmp_path / "run").searched_model()
    with torch.inference_mode():
        logits = network(torch.tensor(x, dtype=torch.float32)).numpy()
    # float32's rounding, of sums in another order
    np.testing.assert_allclose(classifier.predict_proba(x), softmax(logits, axis=1), atol=1e-6)


def test_an_ensemble_predicts_the_mean_of_its_members(little, series, tmp_path):
    """Of the probabilities of each member, called on the data as they are; saved and read back as well."""
    x, labels = series
    settings = little["settings"] | {"ensemble": 3}
    classifier = DASHClassifier(**little | {"settings": settings}, out=tmp_path / "run").fit(x, labels)
    network = dashdeploy.Run.load(tmp_path / "run").searched_model()
    probabilities = []
    for name in ("model", "model.2", "model.3"):
        network.network.load_state_dict(load_file(tmp_path / "run" / f"{name}.safetensors"))
        with torch.inference_mode():
            probabilities.append(softmax(network(torch.tensor(x, dtype=torch.float32)).numpy(), axis=1))
    expected = np.mean(probabilities, axis=0)
    assert np.abs(probabilities[0] - expected).max() > 1e-3
    # float32's rounding, of sums in another order
    np.testing.assert_allclose(classifier.predict_proba(x), expected, atol=1e-6)
    assert classifier.predict(x).tolist() == classifier.classes_[expected.argmax(1)].tolist()
    classifier.save(tmp_path / "saved")
    for again in (DASHClassifier.load(tmp_path / "saved"), pickle.loads(pickle.dumps(classifier))):
        np.testing.assert_array_equal(again.predict_proba(x), classifier.predict_proba(x))
    alone = DASHClassifier(**little).fit(x, labels)
    np.testing.assert_allclose(alone.predict_proba(x), probabilities[0], atol=1e-6)


def test_one_channel_may_be_written_with_its_axis_or_without(little, series):
    x, labels = series[0][:, 0], series[1]
    flat = DASHClassifier(**little).fit(x, labels)
    deep = DASHClassifier(**little).fit(x[:, None], labels)
    assert (flat.n_features_in_, deep.n_features_in_) == (24, 1)
    expected = flat.predict_proba(x)
    for estimator in (flat, deep):
        for data in (x, x[:, None], x.astype(np.float32)):
            np.testing.assert_array_equal(estimator.predict_proba(data), expected)
    with pytest.raises(
        InputError, match=r"samples of shape \[1, 20\], but DASHClassifier was fitted on \[1, 24\]"
    ):
        deep.predict(x[:, None, :20])
    with pytest.raises(ValueError, match="20 features, but DASHClassifier is expecting 24"):
        flat.predict(x[:, :20])


def test_series_that_differ_in_size_are_scaled_by_themselves(little, series):
    """Sizes over 6 orders of magnitude. If they tell the classes, each channel has its level and size beside it."""
    x, labels = series
    random, told = 10.0 ** np.random.default_rng(0).uniform(-3, 3, 60), 10.0 ** (3 * labels - 3)
    further = DASHClassifier(**little).fit(x * told[:, None, None], labels)
    assert further.architecture_.arguments["in_channels"] == 6
    alone = DASHClassifier(**little).fit(x * random[:, None, None], labels)
    assert alone.architecture_.arguments["in_channels"] == 2
    np.testing.assert_allclose(alone.predict_proba(x), alone.predict_proba(100 * x - 7), atol=1e-4)
    for alike in (
        DASHClassifier(**little, normalize="channels").fit(x * told[:, None, None], labels),
        DASHClassifier(**little).fit(*series),
    ):
        assert alike.architecture_.arguments["in_channels"] == 2
        assert np.abs(alike.predict_proba(x) - alike.predict_proba(100 * x - 7)).max() > 1e-2


def test_images(little):
    x = np.random.default_rng(0).standard_normal((12, 1, 8, 8))
    x[::2, :, :4] += 3
    settings = little["settings"] | {"backbone_arguments": {"depth": 10, "widen": 1}}
    classifier = DASHClassifier(**little | {"settings": settings}).fit(x, np.arange(12) % 2)
    assert classifier.architecture_.backbone == "wide_resnet"
    assert classifier.predict_proba(x).shape == (12, 2)
    with pytest.raises(ValueError, match=r"use \[n, length\]"):
        classifier.fit(x[..., None], np.arange(12) % 2)


def test_numbers_one_or_several(little, series):
    x = series[0]
    y = np.stack([x.max(axis=(1, 2)), 1000 * x.mean(axis=(1, 2))], axis=1)
    several = DASHRegressor(**little).set_params(retrain_epochs=20).fit(x, y)
    assert several.predict(x).shape == (60, 2)
    assert several.score(x, y) > 0  # better than the mean, of targets with scales of their own
    one = DASHRegressor(**little).fit(x, y[:, 1])
    assert one.predict(x).shape == (60,)
    column = DASHRegressor(**little).fit(x, y[:, 1:])
    np.testing.assert_array_equal(column.predict(x), one.predict(x)[:, None])


def test_kernels_larger_than_the_series(little):
    x = np.random.default_rng(0).standard_normal((10, 3))
    large = little | {"kernel_sizes": (31, 51), "dilations": (7, 15)}
    assert np.isfinite(DASHClassifier(**large).fit(x, np.arange(10) % 2).predict_proba(x)).all()
    assert np.isfinite(DASHRegressor(**large).fit(x[:3, :1], np.arange(3)).predict(x[:, :1])).all()


def test_random_state_decides_all(little, series):
    x, labels = series
    first, same, other = (
        DASHClassifier(**little | {"random_state": state}).fit(x, labels).predict_proba(x)
        for state in (5, np.int64(5), 6)
    )
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    drawn = DASHClassifier(**little | {"random_state": np.random.RandomState(0)})
    again = DASHClassifier(**little | {"random_state": np.random.RandomState(0)})
    one, two = (drawn.fit(x, labels).predict_proba(x) for _ in range(2))
    assert np.abs(one - two).max() > 1e-3
    np.testing.assert_array_equal(again.fit(x, labels).predict_proba(x), one)


def test_the_program_s_own_random_numbers_go_on(little, series):
    def numbers():
        return np.random.rand(3).tolist(), torch.rand(3).tolist()

    def seeded():
        np.random.seed(1)
        torch.manual_seed(1)

    seeded()
    expected = numbers()
    seeded()
    DASHRegressor(**little).fit(series[0], series[1])
    assert numbers() == expected


def test_cross_validation_a_pipeline_and_a_grid(little, series):
    x, labels = series[0][:, 0], series[1]
    scores = cross_val_score(DASHClassifier(**little), x, labels, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    pipeline = make_pipeline(StandardScaler(), DASHClassifier(**little))
    assert np.isfinite(cross_val_score(pipeline, x, labels, cv=2, scoring="neg_log_loss")).all()
    deep = make_pipeline(FunctionTransformer(np.diff), DASHRegressor(**little)).fit(series[0], labels)
    assert deep[-1].n_features_in_ == 2
    grid = GridSearchCV(DASHClassifier(**little), {"kernel_sizes": [(3,), (5,)]}, cv=2).fit(x, labels)
    found = {layer.kernel_size for layer in grid.best_estimator_.architecture_.layers}
    assert found == {grid.best_params_["kernel_sizes"][0]}


@pytest.mark.slow
def test_cross_validation_in_several_processes(little, series):
    x, labels = series
    here, elsewhere = (
        cross_val_score(DASHClassifier(**little), x, labels, cv=2, n_jobs=jobs, scoring="neg_log_loss")
        for jobs in (1, 2)
    )
    # Processes of joblib have threads of their own number, so sums come in another order.
    np.testing.assert_allclose(here, elsewhere, rtol=0.05)


def test_clones_and_copies(fitted, series):
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(series[0])
    assert "_network" not in fitted.__getstate__()  # its class may be the program's own
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(series[0]), fitted.predict_proba(series[0]))


def test_a_fit_that_fails_leaves_what_was_fitted(fitted, series):
    x, labels = series
    estimator = pickle.loads(pickle.dumps(fitted)).set_params(kernel_sizes=(0,))
    with pytest.raises(InputError, match="kernel_sizes"):
        estimator.fit(x, labels)
    np.testing.assert_array_equal(estimator.predict(x), fitted.predict(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"width": 3}}, "width is a parameter of DASHClassifier; use `width`"),
        ({"settings": {"seed": 3}}, "seed is a parameter of DASHClassifier; use `random_state`"),
        ({"settings": {"widht": 3}}, "no such setting; did you mean width"),
        ({"preset": "slow"}, "`preset=slow`: no such preset"),
        ({"normalize": "rows"}, "`normalize=rows`: use 'auto'"),
        ({"validation_share": 1.0}, "`validation_share=1.0`"),
        ({"time_limit": 0}, "`time_limit=0`: it is in seconds"),
        ({"random_state": -1}, "seed = -1"),
        ({"devices": "cpu:2"}, "give an `out` and a number"),
        ({"backbone": "wide_resnet"}, "choose another `backbone`"),
    ],
)
def test_a_wrong_parameter_is_an_input_error_and_a_value_error(little, series, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        DASHClassifier(**little | changes).fit(*series)
    assert isinstance(caught.value, ValueError)


def test_data_that_cannot_be_learned_from(little, series):
    x, labels = series
    holes = x.copy()
    holes[3, 1, 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        DASHClassifier(**little).fit(holes, labels)
    with pytest.raises(InputError, match="the one class 2; a classifier needs at least two classes"):
        DASHClassifier(**little).fit(x, np.full(60, 2))
    with pytest.raises(InputError, match="no class with two samples"):
        DASHClassifier(**little).fit(x[:3], [0, 1, 2])
    with pytest.raises(ValueError, match="2 sample"):
        DASHRegressor(**little).fit(x[:2], [0, 1])
    with pytest.raises(TypeError, match="sample_weight"):
        DASHClassifier(**little).fit(x, labels, sample_weight=np.ones(60))


def test_the_time_limit_ends_the_training(little, series):
    limited = DASHClassifier(**little | {"search_epochs": 10_000, "retrain_epochs": 10_000}, time_limit=1)
    assert sum(limited.fit(*series).metrics_["seconds"].values()) < 30  # they would take an hour


def test_it_says_what_it_does_if_it_is_asked(little, series, capsys):
    DASHClassifier(**little).fit(*series)
    assert capsys.readouterr().err == ""
    DASHClassifier(**little, verbose=True).fit(*series)
    assert "search" in capsys.readouterr().err


WITHOUT = """
import sys
sys.modules["sklearn"] = None
import dashdeploy
assert "DASHClassifier" in dir(dashdeploy)
assert "DASHClassifier" not in dashdeploy.__all__  # import * needs no extra
for name in ("DASHRegressor", "DASHClassifier"):
    try:
        getattr(dashdeploy, name)
    except dashdeploy.MissingCapabilityError as error:
        assert "pip install 'dashdeploy[sklearn]'" in str(error), error
    else:
        raise AssertionError(name)
"""


def test_without_scikit_learn_it_says_what_to_install():
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=600)


def test_importing_the_package_does_not_import_scikit_learn():
    code = "import sys, dashdeploy; assert 'sklearn' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
