"""Wrong options of search, as a user meets them: one clear line, the right exit code, nothing half-written."""

import sys

import pytest
from typer.testing import CliRunner

from dashdeploy.cli.app import app
from dashdeploy.search import pipeline

MODULE = """
from torch import nn


def without_convolutions(in_channels, outputs):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(outputs))


def not_a_module():
    return 3


def needs_more(in_channels, outputs, secret):
    return nn.Conv1d(in_channels, outputs, 3)


def fails(in_channels, outputs):
    raise ValueError("no luck today")


def wrong_channels(in_channels, outputs):
    return nn.Sequential(nn.Conv1d(in_channels + 1, outputs, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def one_class_too_few(in_channels, outputs):
    return nn.Sequential(nn.Conv1d(in_channels, outputs - 1, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())


def lazy(in_channels, outputs):
    return nn.Sequential(nn.Conv1d(in_channels, 4, 3), nn.Flatten(), nn.LazyLinear(outputs))


def one_convolution(in_channels, outputs):
    return nn.Conv1d(in_channels, outputs, 3, padding=1)


def every_position(in_channels, outputs):
    return nn.Sequential(nn.Conv1d(in_channels, outputs, 3, padding=1))


def of_depth(in_channels, outputs, depth):
    layers = [nn.Conv1d(in_channels, in_channels, 3, padding=1) for _ in range(depth)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, outputs))


class Pair(nn.Module):
    def __init__(self, in_channels, outputs):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, outputs, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        return y.mean(-1), y
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "mine_bad.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("mine_bad", None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "--kernel-sizes 3,0",
            "--kernel-sizes 3,0: kernel size 0 is not a kernel size; use integers from 1 up",
        ),
        ("--kernel-sizes=", "--kernel-sizes is empty; give at least one kernel size"),
        ("--dilations 1,0", "--dilations 1,0: dilation 0 is not a dilation"),
        ("--backbone resnet1e", "--backbone resnet1e: no such backbone; did you mean resnet1d?"),
        ("--backbone nowhere:net", "--backbone nowhere:net: No module named 'nowhere'"),
        (
            "--backbone mine_bad:nets",
            "mine_bad has no function 'nets'; it has Pair, every_position, fails, lazy",
        ),
        (
            "--backbone mine_bad:without_convolutions",
            "the backbone has no convolution to search (it has none at all); choose another --backbone",
        ),
        ("--backbone mine_bad:not_a_module", "it returned a int, not a torch.nn.Module"),
        (
            "--backbone mine_bad:needs_more",
            "missing a required argument: 'secret'; it takes in_channels, outputs",
        ),
        ("--backbone mine_bad:fails", "backbone mine_bad:fails: no luck today"),
        ("--backbone mine_bad:wrong_channels", "does not take samples of shape [1, 32]"),
        (
            "--backbone mine_bad:one_class_too_few",
            "for 2 samples it gives shape [2, 2], and the task data needs one tensor of shape [2, 3]",
        ),
        ("--backbone mine_bad:one_convolution", "(: it is the network itself; put it into an nn.Sequential)"),
        ("--backbone mine_bad:every_position", "it gives shape [2, 3, 32], and the task data needs"),
        ("--backbone mine_bad:lazy", "2.weight has no size before the first call; name the sizes"),
        ("--backbone mine_bad:Pair", "for 2 samples it gives a tuple, and the task data needs one tensor"),
        (
            '--backbone mine_bad:of_depth --set backbone_arguments={"depth":2} --set retrain_arguments={"depth":1}',
            "the convolution 1 is searched, and the backbone mine_bad:of_depth with the arguments {",
        ),
        (
            '--set searched_arguments={"patch":0}',
            "backbone resnet1d: patch = 0: a patch has at least one value",
        ),
        (
            "--set searched_arguments=8",
            "searched_arguments = 8: Input should be a valid dictionary",
        ),
        ("--backbone wide_resnet", "inputs of shape [1, 32] are not images"),
        ("--exclude *", "no convolution to search (blocks.0.convs.0: it is excluded by '*'"),
        ("--set momentum=2", "momentum = 2: Input should be less than 1"),
        ("--set momentun=0.5", "momentun: no such setting; did you mean momentum?"),
        ("--set momentum", "--set momentum: write it as name=value"),
        ("--config none.json", "--config none.json: No such file or directory; check the path"),
        ("--time-limit soon", "--time-limit soon: not a time; write a number and one of"),
        ("--time-limit 0s", "--time-limit 0s: not a time"),
        ("--latency-budget 2", "--latency-budget 2: not a time; write a number and one of"),
        ("--latency-weight 1 --target tensorrt-rtx", "--target tensorrt-rtx: which device? Add --device"),
        ("--latency-weight 1 --device gtx", "--device gtx: --target ort-cpu is this machine's CPU"),
        (
            "--target openvino",
            "; add --latency-weight or --latency-budget",
        ),
        (
            "--device cuda",
            "add --latency-weight or --latency-budget; to choose where to train, use --devices",
        ),
        (
            "--latency-budget 1us --set latency_costs=estimate",
            "--latency-budget 0.001ms: the convolutions with",
        ),
        ("--join", "start both processes with --tune grid, tpe or asha"),
        ("--join --tune grid", "run.partial has no architecture yet; join once the run is there"),
        ("--tune grid --set tune_storage=nodb://x", "the study of --tune at nodb://x cannot be opened"),
    ],
)
def test_one_line_and_nothing_written(here, npz, words, line):
    before = sorted(path.name for path in here.iterdir())
    result = CliRunner().invoke(app, ["search", "--data", str(npz), *words.split(), "--out", "run"])
    assert result.exit_code == 1, result.stderr
    assert result.stdout == ""
    (said,) = result.stderr.splitlines()
    assert said.startswith("error: ")
    assert line in said
    assert sorted(path.name for path in here.iterdir() if path.name != "__pycache__") == before


def test_a_finished_run_needs_no_help(here, npz):
    (here / "run").mkdir()
    result = CliRunner().invoke(
        app, ["search", "--data", str(npz), *["--join", "--tune", "grid", "--out", "run"]]
    )
    assert result.exit_code == 1
    assert "--join: run is finished" in result.stderr


def test_a_device_that_is_not_here_is_exit_code_three(here, npz):
    words = "--latency-weight 1 --target tensorrt-rtx --device l4 --set latency_costs=measure"
    result = CliRunner().invoke(app, ["search", "--data", str(npz), *words.split(), "--out", "run"])
    assert result.exit_code == 3
    assert "nothing can be measured" in result.stderr
    assert not list(here.glob("run*"))


@pytest.mark.usefixtures("here")
def test_a_width_that_nothing_takes_is_told(npz):
    few = "--kernel-sizes 3 --dilations 1 --search-epochs 1 --retrain-epochs 1 --width 3"
    words = ["search", "--data", str(npz), *few.split(), "--backbone", "tcn", "--out", "run"]
    arguments = ["--set", 'backbone_arguments={"channels": 2, "levels": 2}']
    result = CliRunner().invoke(app, [*words, *arguments])
    assert result.exit_code == 0, result.stderr
    assert "--width 3 has no effect: the backbone tcn has no such parameter" in result.stderr


def test_ctrl_c_says_how_to_go_on(here, npz, monkeypatch):
    def interrupted(*_, **__):
        (here / "run.partial").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "search", interrupted)
    result = CliRunner().invoke(app, ["search", "--data", str(npz), "--out", "run"])
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [
        "run.partial holds what was done; the same command with --resume goes on",
        "interrupted",
    ]
