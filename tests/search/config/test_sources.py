"""Settings from presets, files, words and options."""

import json

import pytest

from dashdeploy.errors import InputError
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.config.sources import combined_settings, parse_assignment


def test_what_comes_later_wins(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"preset": "paper", "width": 8, "momentum": 0.8, "seed": 3}))
    settings = combined_settings(None, path, ["momentum=0.7", "kernel_sizes=3,5"], {"seed": 4, "width": None})
    assert settings == SearchSettings.preset("paper", width=8, momentum=0.7, kernel_sizes=(3, 5), seed=4)
    assert combined_settings("quick", path, [], {}).search_epochs == SearchSettings().search_epochs
    assert combined_settings(None, None, [], {}) == SearchSettings.preset("quick")


def test_a_run_s_own_configuration_is_taken(tmp_path):
    settings = SearchSettings.preset("paper", seed=5, exclude=("a.*",), backbone_arguments={"depth": 10})
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"task": "waves", "settings": settings.model_dump(mode="json")}))
    assert combined_settings(None, path, [], {}) == settings


def test_what_suits_the_task_comes_behind_the_preset_and_before_the_user_s_own(tmp_path):
    suited = {"quick": {"width": 8, "momentum": 0.8, "seed": 3}, "paper": {"width": 16}}
    assert combined_settings(None, None, [], {}, suited) == SearchSettings.preset(
        "quick", width=8, momentum=0.8, seed=3
    )
    assert combined_settings("paper", None, [], {}, suited) == SearchSettings.preset("paper", width=16)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"preset": "quick", "width": 10, "momentum": 0.7}))
    found = combined_settings(None, path, ["momentum=0.6"], {"seed": None}, suited)
    assert found == SearchSettings.preset("quick", width=10, momentum=0.6, seed=3)
    found = combined_settings(None, path, [], {"seed": 4, "width": 12}, suited)
    assert found == SearchSettings.preset("quick", width=12, momentum=0.7, seed=4)
    assert combined_settings("quick", None, [], {}, {"paper": {"width": 16}}) == SearchSettings.preset(
        "quick"
    )


def test_what_suits_every_built_in_task_are_settings():
    """Each of them is a setting that the presets accept; of small packaged data, none: no recipe knows a name."""
    from dashdeploy.data.catalog import load_task

    for name in ("mnist1d", "osuleaf", "arrowhead", "acsf1", "pigcvp", "japanesevowels", "splice", "pmnist"):
        suited = load_task(name).settings
        assert "quick" not in suited
        assert set(suited) <= {"quick", "paper"}
        for preset, values in suited.items():
            found = combined_settings(preset, None, [], {}, suited).model_dump()
            assert {key: found[key] for key in values} == values, (name, preset)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("momentum=0.5", 0.5),
        ("kernel-sizes=3,5", [3, 5]),
        ("kernel_sizes=[3, 5]", [3, 5]),
        ("exclude=stem.*,head", ["stem.*", "head"]),
        ("gumbel_noise=true", True),
        ("schedule=step", "step"),
        ('backbone_arguments={"depth": 10}', {"depth": 10}),
    ],
)
def test_assignments(text, value):
    name, found = parse_assignment(text)
    assert name == text.partition("=")[0].replace("-", "_")
    assert found == value


def test_what_is_wrong_is_one_line(tmp_path):
    path = tmp_path / "settings.json"

    def refused(content, *assignments):
        if content is not None:
            path.write_text(content)
        with pytest.raises(InputError) as caught:
            combined_settings(None, path, assignments, {})
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "No such file" in refused(None)
    assert "not valid JSON" in refused("{")
    assert "not an object" in refused("[1]")
    assert "'slow': no such preset" in refused('{"preset": "slow"}')
    assert refused('{"momentun": 1}') == "momentun: no such setting; did you mean momentum?"
    assert refused("{}", "momentum=2").startswith("momentum = 2: Input should be less than 1")
    assert "write it as name=value" in refused("{}", "momentum")
    assert "write it as name=value" in refused("{}", "=3")
    assert refused("{}", "kernel_sizes=3,0").startswith("kernel_sizes.1 = 0")
