"""`DASHRegressor`: one number or several for each series or image."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch

from dashdeploy.data.task import Kind
from dashdeploy.estimators.base import Array, DASHEstimator, X
from dashdeploy.estimators.description import Description
from dashdeploy.estimators.scikit_learn import RegressorMixin


class DASHRegressor(RegressorMixin, DASHEstimator):  # type: ignore[misc]
    """Predict numbers from series or images with a network whose kernels are searched (DASH).

    The parameters and attributes are those of `DASHClassifier`, except for ``classes_``.

    Example:
        ::

            regressor = dashdeploy.DASHRegressor(time_limit=600, random_state=0).fit(x, y)
            print(regressor.score(x_test, y_test))
            regressor.save("regressor")
    """

    _kind: ClassVar[Kind] = "regression"
    _one_number: bool

    def fit(self, X: X, y: npt.ArrayLike) -> Self:
        """Search and train a network.

        Args:
            X: [n, length], [n, channels, length] or [n, channels, height, width]; as aeon and sktime have series.
            y: the numbers, [n] or [n, outputs].

        Returns:
            This estimator.

        Raises:
            ValueError: X or y cannot be used, a parameter is wrong, or the training diverged; it is an
                `InputError`, too, where this library says so.
            MissingCapabilityError: a device or a package is missing on this machine.
        """
        x, y = self._training_data(X, y, multi_output=True, y_numeric=True)
        numbers = torch.from_numpy(np.array(y, np.float32))
        one_number = numbers.ndim == 1
        numbers = numbers[:, None] if one_number else numbers
        self._search(x, numbers, numbers.shape[1], learned={"_one_number": one_number})
        return self

    def predict(self, X: X) -> Array:
        """The numbers of each sample: [n], float32, or [n, outputs], float64, as `fit` had them.

        Raises:
            ValueError: X does not have the samples' shape that `fit` had.
            NotFittedError: nothing was fitted yet.
        """
        outputs = self._outputs(X)
        # The network computes in float32, and scikit-learn asks for float64 where there are several outputs.
        return outputs[:, 0] if self._one_number else outputs.astype(np.float64)

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - sklearn.utils.Tags, which has no types
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _described(self, **learned: object) -> Description:
        return super()._described(one_number=self._one_number, **learned)

    def _learned_from(self, described: Description) -> None:
        self._one_number = described.one_number
