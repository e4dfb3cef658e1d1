"""The backbone of a run, and what would make its steps shorter."""

import dataclasses

import pytest

from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.supernet.networks import said_of_patches


@pytest.mark.parametrize(
    ("length", "settings", "patch"),
    [
        (499, {}, None),
        (500, {}, 2),
        (1999, {}, 4),
        (2000, {}, 8),
        (16000, {}, 64),
        (2000, {"backbone_arguments": {"patch": 2}}, None),
        (2000, {"retrain_arguments": {"patch": 2}}, None),
        (2000, {"backbone": "tcn"}, None),
    ],
)
def test_long_series_get_a_hint(waves_task, length, settings, patch):
    long = dataclasses.replace(waves_task, input_shape=(1, length))
    said = said_of_patches(long, run_settings(waves_task, SearchSettings(**settings)))
    assert (f'`backbone_arguments={{"patch": {patch}}}` takes {patch} of them' in said) == bool(patch)
    assert bool(said) == bool(patch)
    assert not said_of_patches(
        dataclasses.replace(long, dense=True), run_settings(waves_task, SearchSettings())
    )
