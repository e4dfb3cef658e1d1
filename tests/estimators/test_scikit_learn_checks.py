"""scikit-learn's own checks of estimators: all of them, none is expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dashdeploy import DASHClassifier, DASHRegressor

TO_LEARN = {"retrain_epochs": 6, "settings": {"shortlist": 1, "backbone_epochs": 1, "learning_rate": 0.02}}
"""For the checks that want a good score; 1 epoch is enough for the others."""


@parametrize_with_checks([DASHClassifier(), DASHRegressor()], expected_failed_checks=lambda _: {})
def test_check(estimator, check, little):
    estimator.set_params(**little)
    if check.func.__name__ in ("check_classifiers_train", "check_regressors_train"):
        estimator.set_params(**TO_LEARN)
    check(estimator)


@pytest.mark.parametrize("estimator", [DASHClassifier(), DASHRegressor()])
def test_the_checks_are_for_what_it_is(estimator):
    from sklearn.utils import get_tags

    tags = get_tags(estimator)
    kind = {DASHClassifier: "classifier", DASHRegressor: "regressor"}[type(estimator)]
    assert tags.estimator_type == kind
    assert tags.input_tags.three_d_array and not tags.input_tags.allow_nan and not tags.non_deterministic
    assert not getattr(tags, f"{kind}_tags").poor_score
    assert tags.target_tags.multi_output == (kind == "regressor")
