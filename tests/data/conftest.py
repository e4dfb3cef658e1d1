"""How a test of any reader asks what is said of data that cannot be used."""

import pytest

from dashdeploy.data.from_arrays import DataOptions
from dashdeploy.data.readers.data_files import load_data
from dashdeploy.errors import InputError


@pytest.fixture
def refusal():
    def one_line(path, **options):
        with pytest.raises(InputError) as caught:
            load_data(path, options=DataOptions(**options))
        message = str(caught.value)
        assert "\n" not in message and "; " in message  # what is wrong; how to mend it
        return message

    return one_line
