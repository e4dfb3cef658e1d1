"""scikit-learn's own checks of estimators, all of them."""

import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from dashdeploy import DASHClassifier, DASHRegressor

LITTLE = {
    "width": 4,
    "kernel_sizes": (3, 5),
    "dilations": (1, 3),
    "search_epochs": 1,
    "retrain_epochs": 1,
    "settings": {"shortlist": 1},
    "devices": "cpu",
    "random_state": 0,
}
"""Training that is over in half a second."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@parametrize_with_checks([DASHClassifier(**LITTLE), DASHRegressor(**LITTLE)])
def test_check(estimator, check):
    check(estimator)
