"""Runs aeon's checks of estimators on ours; a program of its own, since aeon's dependencies need older versions.

aeon checks its own base classes alone, so each of ours gets a thin one here: aeon brings the data into
[n, channels, length], and ours learns from them. Prints the checks that failed, as JSON.
"""

import json
import sys
from typing import ClassVar

import torch
from aeon.classification import BaseClassifier
from aeon.regression import BaseRegressor
from aeon.testing.estimator_checking import check_estimator

from dashdeploy import DASHClassifier, DASHRegressor

LITTLE = {
    "width": 4,
    "kernel_sizes": (3, 5),
    "dilations": (1, 3),
    "search_epochs": 1,
    "retrain_epochs": 1,
    "settings": {"shortlist": 1},
    "devices": "cpu",
}


class OfAeon:
    """What a classifier and a regressor of aeon's have in common."""

    _tags: ClassVar = {
        "capability:multivariate": True,
        "X_inner_type": "numpy3D",
        "algorithm_type": "deeplearning",
    }
    ours: type

    def __init__(self, random_state=None):
        self.random_state = random_state
        super().__init__()

    def _fit(self, X, y):
        self.fitted_ = self.ours(**LITTLE, random_state=self.random_state).fit(X, y)
        return self

    def _predict(self, X):
        return self.fitted_.predict(X)


class AeonClassifier(OfAeon, BaseClassifier):
    ours = DASHClassifier

    def _predict_proba(self, X):
        return self.fitted_.predict_proba(X)


class AeonRegressor(OfAeon, BaseRegressor):
    ours = DASHRegressor


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = check_estimator(AeonClassifier) | check_estimator(AeonRegressor)
    json.dump(found, sys.stdout)
