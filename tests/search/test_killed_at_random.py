"""kill -9 at three random moments, short list and tuning included: the same run as the uninterrupted one."""

import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch

from dashdeploy.search.pipeline import search
from dashdeploy.search.staging.directory import staging_path

ALWAYS = (
    "architecture.json",
    "model.safetensors",
    "backbone.safetensors",
    "metrics.jsonl",
    "samples.npz",
    "config.json",
    "shortlist.json",
)
KILLS = 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "towers"), [("grid", 1), ("tpe", 1), ("asha", 1), ("none", None), ("none", 2)]
)
def test_the_same_architecture_metrics_and_weights(waves_task, small, tmp_path, way, towers):
    settings = small.model_copy(
        update={
            "shortlist": 3,
            "shortlist_folds": 2,
            "shortlist_epochs": 2,
            "towers": towers,
            "tune": way,
            "tune_epochs": 6,
            "tune_trials": 8,
            "tune_learning_rates": (0.1, 0.03, 0.01),
            "tune_weight_decays": (5e-4,),
            "gumbel_noise": True,
            "dropout": 0.1,
        }
    )
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = time.monotonic()
    expected = search(waves_task, settings, tmp_path / "whole")
    whole = time.monotonic() - started
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashdeploy.search.pipeline", "dashdeploy.backbones"])
    chance = random.Random(seed := random.SystemRandom().randrange(10**6))
    out, kills = tmp_path / "run", 0
    while kills < KILLS:
        arguments = {"resume": True}
        process = context.Process(target=search, args=(waves_task, settings, out), kwargs=arguments)
        process.start()
        while not staging_path(out).exists() and process.is_alive():
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.9) * whole / KILLS)
        process.kill()
        process.join()
        if out.exists():
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    run = search(waves_task, settings, out, resume=True)
    assert kills >= 1, seed
    tuned = way != "none"
    for name in (*ALWAYS, "tuning.json") if tuned else ALWAYS:
        assert (run.path / name).read_bytes() == (expected.path / name).read_bytes(), (name, seed)
    mine, theirs = (
        {key: value for key, value in each.metrics.items() if key != "seconds"} for each in (run, expected)
    )
    assert mine == theirs
    if tuned:
        assert run.metrics["seconds"]["tune"] > 0
        assert len(json.loads((run.path / "tuning.json").read_text())["trials"]) in (4, 8, 12)
    if towers == 2:
        assert json.loads((run.path / "architecture.json").read_text())["towers"]["count"] == 2
