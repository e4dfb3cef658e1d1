"""`DASHClassifier`: one class of several for each series or image."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from dashdeploy.data.task import Kind
from dashdeploy.estimators.base import Array, DASHEstimator, X
from dashdeploy.estimators.description import Classes, Description
from dashdeploy.estimators.errors import EstimatorInputError
from dashdeploy.estimators.scikit_learn import ClassifierMixin, check_classification_targets


class DASHClassifier(ClassifierMixin, DASHEstimator):  # type: ignore[misc]
    """Classify series or images with a network whose kernels are searched (DASH).

    `fit` is a complete run of `dashdeploy.search`: the search, the training of the found network, and the training
    of the original backbone for comparison. A part of the data is held out for validation; with fewer than 10 000
    samples, the final training also learns from it. Predictions are made on the CPU.

    Args:
        backbone: the network whose convolutions are searched, see `dashdeploy.search`.
        preset: ``quick`` or ``paper``; it has the value of every parameter and setting that is None or not given.
        kernel_sizes: the search space K.
        dilations: the search space D.
        width: channels of the backbone's first block.
        search_epochs: epochs of the search. Without it or the next one, the numbers of epochs follow from the data,
            and, where these would take more than 15 minutes or `time_limit`, from the machine's speed.
        retrain_epochs: epochs of each final training.
        normalize: ``channels`` scales every channel to mean 0 and deviation 1 over the training data (a regressor's
            targets, too), ``samples`` every channel of every sample, ``sizes`` that as well, with its level and size
            as further channels; ``none`` scales nothing, None only what is far from this. ``auto`` is ``sizes`` for
            classes of series that differ in size by orders of magnitude, ``samples`` if that says nothing of the
            classes, and else ``channels``. It is part of the model.
        validation_share: the part of the data that is held out.
        devices: as `dashdeploy.SearchSettings` has them. Several need an `out` and a number as `random_state`.
        random_state: the seed of the held-out samples, the weights and the order of the data. None gives another
            result in each fit.
        time_limit: the time that `fit` may take, in seconds, roughly.
        settings: further fields of `dashdeploy.SearchSettings`, such as ``{"shortlist": 1, "batch_size": 16}``.
        out: a folder for the run, which must not exist; None keeps the run in memory alone. With it, an estimator can
            be fitted once.
        verbose: whether `fit` and `export` print their progress on stderr.

    Attributes:
        classes_: the classes, sorted.
        n_features_in_: the length of X [n, length]; the channels of X with more axes.
        feature_names_in_: the columns' names, if X was a data frame with such.
        architecture_: the kernels that were found, as in ``architecture.json``.
        metrics_: the run's figures, as in ``metrics.json``; there are none of test data.

    Example:
        ::

            from sklearn.model_selection import cross_val_score

            classifier = dashdeploy.DASHClassifier(kernel_sizes=(3, 7, 11), random_state=0)
            print(cross_val_score(classifier, x, y, cv=5))
            classifier.fit(x, y).export("bundle")
    """

    _kind: ClassVar[Kind] = "classification"
    classes_: npt.NDArray[Any]

    def fit(self, X: X, y: npt.ArrayLike) -> Self:
        """Search and train a network.

        Args:
            X: [n, length], [n, channels, length] or [n, channels, height, width]; as aeon and sktime have series.
            y: the classes [n], under any names.

        Returns:
            This estimator.

        Raises:
            ValueError: X or y cannot be used, a parameter is wrong, or the training diverged; it is an
                `InputError`, too, where this library says so.
            MissingCapabilityError: a device or a package is missing on this machine.
        """
        x, y = self._training_data(X, y)
        check_classification_targets(y)
        classes, indices = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise EstimatorInputError(
                f"y holds the one class {classes[0]}; a classifier needs at least two classes"
            )
        labels = [str(each) for each in classes.tolist()]
        self._search(
            x, torch.from_numpy(indices.astype(np.int64)), len(classes), labels, learned={"classes_": classes}
        )
        return self

    def predict(self, X: X) -> Array:
        """The most probable class of each sample, [n].

        Raises:
            ValueError: X does not have the samples' shape that `fit` had.
            NotFittedError: nothing was fitted yet.
        """
        best = self._outputs(X).argmax(1)  # first, since it tells whether anything was fitted
        classes: Array = self.classes_[best]
        return classes

    def predict_proba(self, X: X) -> Array:
        """The probability of each class, [n, classes], in the order of `classes_`; as `predict` otherwise."""
        probabilities: Array = softmax(self._outputs(X), axis=1)
        return probabilities

    def _described(self, **learned: object) -> Description:
        return super()._described(classes=Classes.of(self.classes_), **learned)

    def _learned_from(self, described: Description) -> None:
        assert described.classes is not None
        self.classes_ = described.classes.array()
