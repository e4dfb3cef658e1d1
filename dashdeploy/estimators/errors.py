"""The library's errors as scikit-learn expects them: what is wrong with the input is a ValueError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dashdeploy.errors import InputError


class EstimatorInputError(InputError, ValueError):
    """The user's input was wrong; a ValueError, too."""


@contextmanager
def value_errors() -> Iterator[None]:
    """Within the block, an `InputError` is a ValueError as well."""
    try:
        yield
    except EstimatorInputError:
        raise
    except InputError as error:
        raise EstimatorInputError(str(error)) from error
