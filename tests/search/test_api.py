"""``dashdeploy.search`` as a function, with data and models of your own."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

import dashdeploy
from dashdeploy.errors import InputError
from dashdeploy.progress import silent
from dashdeploy.search.api import reference_of


class Two(nn.Module):
    """Two convolutions and a head."""

    def __init__(self, in_channels, outputs):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(in_channels, 4, 3, padding=1), nn.ReLU(), nn.Conv1d(4, 4, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(4, outputs)

    def forward(self, x):
        return self.head(self.body(x).mean(-1))


FEW = {
    "kernel_sizes": (3, 4),
    "dilations": (1, 3),
    "search_epochs": 1,
    "retrain_epochs": 1,
    "shortlist": 1,
    "devices": "cpu",
}


def test_a_file_and_a_model_of_one_s_own(npz, tmp_path):
    run = dashdeploy.search(npz, Two, out=tmp_path / "run", progress=silent, **FEW)
    assert run.architecture.backbone == f"{Two.__module__}:Two"
    assert [layer.name for layer in run.architecture.layers] == ["body.0", "body.2"]
    assert isinstance(run.searched_model(), Two)


def test_a_task_or_its_name(waves_task, tmp_path):
    run = dashdeploy.search(waves_task, out=tmp_path / "run", width=2, progress=silent, **FEW)
    assert run.architecture.backbone == "resnet1d"
    with pytest.raises(InputError, match="did you mean mnist1d"):
        dashdeploy.search("mnist1e", out=tmp_path / "other")
    with pytest.raises(InputError, match="no such setting; did you mean width"):
        dashdeploy.search(waves_task, out=tmp_path / "other", widht=3)


def test_tensors_and_lists(waves, tmp_path):
    data = {name: torch.from_numpy(array) for name, array in waves.items()}
    data["y_train"] = data["y_train"].tolist()
    run = dashdeploy.search(data, out=tmp_path / "run", width=2, progress=silent, **FEW)
    assert run.config["samples"] == {"train": 51, "validation": 9, "test": 30}
    assert dashdeploy.Run.load(str(tmp_path / "run")).metrics == run.metrics


def test_classes_keep_their_names_in_the_run_and_the_bundle(waves, tmp_path):
    names = np.array(["sparrow", "crane", "owl"])
    named = waves | {each: names[waves[each]] for each in ("y_train", "y_test")}
    said: list[str] = []
    run = dashdeploy.search(named, out=tmp_path / "run", width=2, progress=said.append, **FEW)
    assert said.count("the classes are text; the model's 3 labels are crane, owl, sparrow") == 1
    assert run.config["labels"] == ["crane", "owl", "sparrow"]
    bundle = dashdeploy.compile(run, out=tmp_path / "bundle", tune="estimate")
    assert list(bundle.manifest.labels) == ["crane", "owl", "sparrow"]


def test_a_built_in_task_comes_before_a_folder_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ecg").mkdir()
    with pytest.raises(InputError, match="`task=ecg` reads NAS-Bench-360's files"):
        dashdeploy.search("ecg", out=tmp_path / "run")


SCRIPT = """
from torch import nn
import dashdeploy

class Net(nn.Sequential):
    def __init__(self, in_channels, outputs):
        super().__init__(nn.Conv1d(in_channels, outputs, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())

dashdeploy.search({npz!r}, Net, out={out!r}, **{few!r})
"""


def test_a_network_of_the_program_itself(npz, tmp_path):
    """It can be searched, but only this program can build it again."""
    out = tmp_path / "run"
    script = SCRIPT.format(npz=str(npz), out=str(out), few=FEW)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert (
        "the backbone __main__:Net is a part of this program, which alone can export the run" in done.stderr
    )
    with pytest.raises(
        InputError, match="was a part of the program that ran the search, and is none of this"
    ):
        dashdeploy.Run.load(out).searched_model()


def test_what_another_process_could_not_find_is_refused():
    with pytest.raises(InputError, match="a function or class with a name in a module"):
        reference_of(lambda **arguments: Two(**arguments, width=3))

    class Local(nn.Module):
        pass

    with pytest.raises(InputError, match="move it there"):
        reference_of(Local)
    assert reference_of("tcn") == "tcn"


def test_the_package_stays_a_package_and_importing_it_costs_nothing():
    code = (
        "import sys, dashdeploy, dashdeploy.search; assert 'torch' not in sys.modules; "
        "from dashdeploy.search.config.settings import SearchSettings; assert callable(dashdeploy.search)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_a_data_frame(tmp_path):
    """One sample in each row; the last column is the target."""
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame(generator.standard_normal((60, 12)))
    frame["kind"] = np.where(frame[3] > 0, "up", "down")
    run = dashdeploy.search(frame, out=tmp_path / "run", progress=silent, width=4, **FEW)
    assert run.config["labels"] == ["down", "up"]
    assert run.config["input_shape"] == [1, 12]
    assert sum(run.config["samples"].values()) == 60
