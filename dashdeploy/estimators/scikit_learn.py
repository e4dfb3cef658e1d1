"""What the estimators take from scikit-learn, or the line that says how to install it.

The other files of this folder import it from here, so that whichever comes first says the same.
"""

from __future__ import annotations

from dashdeploy.errors import MissingCapabilityError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise MissingCapabilityError(
        f"DASHClassifier and DASHRegressor need scikit-learn 1.6 or newer ({error}); "
        "pip install 'dashdeploy[sklearn]'"
    ) from error

__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "RegressorMixin",
    "check_classification_targets",
    "check_is_fitted",
    "check_random_state",
    "validate_data",
]
