"""The networks of a run: the one that is searched may have arguments that its backbone has not."""

import pytest
from torch import nn

from dashdeploy.errors import InputError
from dashdeploy.search.supernet.networks import (
    backbone_arguments,
    check_retrained,
    network_arguments,
    supernet_of,
)


def test_the_searched_network_alone_has_its_arguments(waves_task, small):
    settings = small.model_copy(update={"searched_arguments": {"patch": 2}})
    network, kept = supernet_of(waves_task, settings)
    assert isinstance(network.stem[0], nn.Conv1d) and network.stem[0].stride == (2,)
    assert kept["stem.0"] == "its kernel is as long as its stride: it cuts patches"
    for retrain in (False, True):
        whole = network_arguments(waves_task, settings, retrain=retrain)
        assert whole == backbone_arguments(waves_task, settings, retrain=retrain) | {"patch": 2}
    assert "patch" not in backbone_arguments(waves_task, settings, retrain=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patches": 2}, "got an unexpected keyword argument 'patches'"),
        ({"patch": 0}, "patch = 0: a patch has at least one value"),
        ({"outputs": 2}, r"it gives shape \[2, 2\], and the task waves needs one tensor of shape \[2, 3\]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(waves_task, small, arguments, words):
    settings = small.model_copy(update={"searched_arguments": arguments})
    with pytest.raises(InputError, match=words):
        check_retrained(waves_task, settings, [])
