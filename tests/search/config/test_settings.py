"""The settings of a search, and its presets."""

import pytest
from pydantic import ValidationError

from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import PRESETS, SearchSettings


def test_presets_hold_the_paper_s_search_space():
    for name in PRESETS:
        settings = SearchSettings.preset(name)
        assert (settings.kernel_sizes, settings.dilations) == ((3, 5, 7, 9), (1, 3, 7, 15))
    paper = SearchSettings.preset("paper")
    assert (paper.search_epochs, paper.search_share, paper.retrain_epochs) == (100, 0.2, 200)


def test_overrides_and_immutability():
    settings = SearchSettings.preset("quick", kernel_sizes=[3, 11], seed=4)
    assert (settings.kernel_sizes, settings.seed) == ((3, 11), 4)
    with pytest.raises(ValidationError):
        settings.seed = 5


def test_every_setting_is_documented():
    text = SearchSettings.__doc__
    assert [name for name in SearchSettings.model_fields if f"        {name}: " not in text] == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"kernel_sizes": ()}, "kernel_sizes = ()"),
        ({"kernel_sizes": (3, 0)}, "kernel_sizes.1 = 0: Input should be greater than or equal to 1"),
        ({"dilations": (1, 3, 3)}, "dilations = (1, 3, 3): [1, 3, 3] names a value twice; name each once"),
        ({"learning_rate": -1}, "learning_rate = -1: Input should be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"method": "magic"}, "method = 'magic'"),
        ({"retrain_epoch": 3}, "retrain_epoch: no such setting; did you mean retrain_epochs?"),
        ({"zzz": 3}, "zzz: no such setting; fields are backbone, width"),
    ],
)
def test_what_is_wrong_with_a_setting_is_one_line(overrides, message):
    with pytest.raises(InputError) as caught:
        SearchSettings.preset("quick", **overrides)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="`preset=slow`: no such preset; choose from quick, paper"):
        SearchSettings.preset("slow")
