"""Tuning: the paper's grid and its early end, TPE, shared studies, and processes that die."""

import itertools
import json
import math
import multiprocessing
import os
import signal
import sqlite3
import time
from contextlib import closing

import optuna
import pytest
from optuna.storages._heartbeat import HeartbeatThread
from optuna.trial import TrialState

from dashdeploy.errors import InputError
from dashdeploy.search.config.phases import TimePlan
from dashdeploy.search.config.run_settings import RunSettings
from dashdeploy.search.run_writer import TUNED, RunWriter
from dashdeploy.search.staging.directory import phase_result
from dashdeploy.search.staging.run_config import run_config
from dashdeploy.search.tuning import study as tuning_study
from dashdeploy.search.tuning import tune as tuning
from dashdeploy.search.tuning.space import Hyperparameters, groups, suggest, untuned
from dashdeploy.search.tuning.study import open_study
from dashdeploy.search.tuning.tune import Tuning, _work, help_tuning

OPEN = {
    "optimizer": "sgd",
    "batch_size": 16,
    "search_epochs": 1,
    "retrain_epochs": 1,
    "epoch_passes": 1,
    "learning_rate": 0.1,
    "weight_decay": 5e-4,
    "search_learning_rate": 0.1,
    "alpha_learning_rate": 10.0,
    "label_smoothing": 0.0,
    "refit": False,
    "shortlist_epochs": 1,
    "shortlist_folds": 1,
    "shortlist_parts": 1,
    "tune_epochs": 10,
    "tune_trials": 20,
    "tune_learning_rates": (0.1, 0.01, 0.001),
    "tune_weight_decays": (5e-4, 5e-6),
    "precision": "32-true",
}
"""What the settings leave open, of SGD as in the paper."""


def settings(**overrides):
    return RunSettings.preset("quick", **(OPEN | {"tune": "grid", "seed": 3} | overrides))


def score(_, chosen):
    """Best at rate 0.01, dropout 0.05, weight decay 5e-6, momentum 0.99."""
    return (
        1
        - abs(math.log10(chosen.learning_rate) + 2) / 10
        + (chosen.dropout or 0)
        - 10 * chosen.weight_decay
        + chosen.momentum / 100
    )


def a_tuning(folder, objective=score, way=None, **more):
    (folder / "checkpoints").mkdir(exist_ok=True)
    return Tuning(
        way or settings(), folder, objective, **({"higher_is_better": True, "dropout": True} | more)
    )


def tune(found, **limit):
    """What a run does: tune unless it is done, and store what comes of it."""
    return RunWriter(found.folder).value(TUNED, lambda: tuning.tune(found, **limit)).chosen


def report(folder):
    return json.loads((folder / "tuning.json").read_text())


def test_the_grid_is_the_paper_s_rate_by_rate():
    plan = groups(settings(), dropout=True)
    assert [len(group) for group in plan] == [8, 8, 8]
    assert [group[0]["learning_rate"] for group in plan] == [0.1, 0.01, 0.001]
    everything = {(p["dropout"], p["weight_decay"], p["momentum"]) for p in plan[1]}
    assert everything == set(itertools.product((0.0, 0.05), (5e-4, 5e-6), (0.9, 0.99)))
    assert [len(group) for group in groups(settings(), dropout=False)] == [4, 4, 4]


def test_finds_the_best_of_the_grid(tmp_path):
    said = []
    chosen = tune(a_tuning(tmp_path, progress=said.append))
    assert chosen == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    written = report(tmp_path)
    assert written["chosen"] == chosen.as_dict()
    assert len(written["trials"]) == len(said) == 24
    assert max(written["trials"], key=lambda trial: trial["value"])["learning_rate"] == 0.01
    # what is finished is not done again
    assert tune(a_tuning(tmp_path, lambda *_: pytest.fail("it ran again"))) == chosen


def test_ends_with_the_first_rate_that_brings_nothing(tmp_path):
    chosen = tune(a_tuning(tmp_path, lambda _, chosen: chosen.learning_rate))
    assert chosen.learning_rate == 0.1
    assert [trial["learning_rate"] for trial in report(tmp_path)["trials"]] == [0.1] * 8 + [0.01] * 8


def test_less_is_better_for_an_error(tmp_path):
    chosen = tune(a_tuning(tmp_path, lambda t, c: -score(t, c), higher_is_better=False, dropout=False))
    assert chosen == Hyperparameters(0.01, 5e-6, 0.99, None)


def test_a_trial_that_diverges_does_not_win(tmp_path):
    chosen = tune(a_tuning(tmp_path, lambda t, c: -math.inf if c.momentum == 0.99 else score(t, c)))
    assert chosen == Hyperparameters(0.01, 5e-6, 0.9, 0.05)
    assert {trial["value"] for trial in report(tmp_path)["trials"] if trial["momentum"] == 0.99} == {None}


def test_if_every_trial_diverges_the_settings_stand(tmp_path):
    way = settings()
    assert tune(a_tuning(tmp_path, lambda *_: -math.inf, way)) == untuned(way, dropout=True)


def test_tpe_samples_between_the_ends_and_prunes(tmp_path):
    way = settings(tune="tpe", tune_trials=14)

    def objective(trial, chosen):
        for epoch in range(3):
            trial.report(score(trial, chosen) * (epoch + 1) / 3, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score(trial, chosen)

    chosen = tune(a_tuning(tmp_path, objective, way))
    trials = report(tmp_path)["trials"]
    assert len(trials) == 14
    assert {trial["state"] for trial in trials} == {"complete", "pruned"}
    assert 0.001 <= chosen.learning_rate <= 0.1
    assert len({trial["learning_rate"] for trial in trials}) > 5
    assert score(None, chosen) == max(t["value"] for t in trials if t["state"] == "complete")
    (tmp_path / "again").mkdir()
    assert tune(a_tuning(tmp_path / "again", objective, way)) == chosen
    assert report(tmp_path / "again") == report(tmp_path)


@pytest.mark.parametrize("way", ["grid", "tpe"])
def test_an_interrupted_tuning_goes_on_to_the_same_end(tmp_path, way, capfd):
    chosen_way = settings(tune=way, tune_trials=8)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    expected = tune(a_tuning(whole, way=chosen_way))
    calls = 0

    def falters(trial, chosen):
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt
        return score(trial, chosen)

    interrupted = 0
    while not (broken / "tuning.json").exists():
        try:
            assert tune(a_tuning(broken, falters, chosen_way)) == expected
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted >= 3
    assert report(broken) == report(whole)
    assert capfd.readouterr() == ("", "")


def test_a_limit_of_time_decides_by_what_is_done(tmp_path):
    chosen = tune(a_tuning(tmp_path), seconds=0.0)
    assert len(report(tmp_path)["trials"]) == 1
    assert chosen == Hyperparameters(0.1, 5e-4, 0.9, 0.0)


def slow(trial, chosen):
    time.sleep(0.1)
    return score(trial, chosen)


def stuck_in_its_second(trial, chosen, calls=[]):  # noqa: B006 - counts the calls of a process
    calls.append(trial.number)
    if len(calls) == 2:
        time.sleep(600)
    return slow(trial, chosen)


def stuck(trial, chosen):
    if trial.number == 2:
        time.sleep(600)
    return slow(trial, chosen)


def in_a_process(context, target, *arguments):
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def main_process(folder, objective):
    tune(a_tuning(folder, objective))


def joined(folder, objective, grace):
    tuning_study.GRACE_SECONDS = grace
    help_tuning(a_tuning(folder, objective, worker=str(os.getpid())))


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashdeploy.search.tuning.tune"])
    return context


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trials(folder):
    return open_study(settings(), folder, higher_is_better=True).get_trials(deepcopy=False)


@pytest.mark.slow
def test_two_processes_share_a_study_and_lose_nothing_when_one_is_killed(tmp_path, processes, monkeypatch):
    monkeypatch.setattr(tuning_study, "GRACE_SECONDS", 5)
    (tmp_path / "checkpoints").mkdir()
    open_study(settings(), tmp_path, higher_is_better=True)
    helper = in_a_process(processes, joined, tmp_path, stuck_in_its_second, 60)

    def of_helper():
        return [trial for trial in trials(tmp_path) if trial.user_attrs.get("worker") == str(helper.pid)]

    lost = []

    def objective(trial, chosen):
        wait_for(of_helper)
        if not lost and len(of_helper()) == 2:
            lost.append(of_helper()[1].number)
            os.kill(helper.pid, signal.SIGKILL)
        return slow(trial, chosen)

    chosen = tune(a_tuning(tmp_path, objective))
    helper.join()
    assert chosen == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    ended = trials(tmp_path)
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    assert len(complete) == 24
    assert len({tuple(sorted(trial.params.items())) for trial in complete}) == 24
    assert len(report(tmp_path)["trials"]) == 24
    assert {trial.user_attrs["worker"] for trial in complete} == {"main", str(helper.pid)}
    assert helper.exitcode == -signal.SIGKILL
    failed = [trial for trial in ended if trial.state == TrialState.FAIL]
    assert [trial.number for trial in failed] == lost
    assert all(any(trial.params == each.params for trial in complete) for each in failed)


def test_two_processes_take_no_trial_twice_and_make_none(tmp_path, processes):
    """Quick trials, so that both often reach for the same one."""
    (tmp_path / "checkpoints").mkdir()
    open_study(settings(), tmp_path, higher_is_better=True)
    helpers = [in_a_process(processes, joined, tmp_path, score, 60) for _ in range(2)]
    assert tune(a_tuning(tmp_path)) == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    for helper in helpers:
        helper.join()
        assert helper.exitcode == 0
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE] * 24


def test_what_is_sampled_at_the_same_time_is_not_the_same(tmp_path):
    way, others = settings(tune="tpe", tune_trials=4), []

    def objective(trial, chosen):
        if not others:  # another process takes a trial while this one is under way
            others.append(trial.number)
            study = open_study(way, tmp_path, higher_is_better=True)
            assert _work(a_tuning(tmp_path, way=way, worker="another"), study)
        return score(trial, chosen)

    tune(a_tuning(tmp_path, objective, way))
    assert len({trial["learning_rate"] for trial in report(tmp_path)["trials"]}) == 4


def test_a_trial_whose_taker_died_before_its_first_heartbeat_is_not_waited_for(tmp_path):
    taken = []

    def objective(trial, chosen):
        if not taken:  # as a process does that is killed at once
            taken.append(open_study(settings(), tmp_path, higher_is_better=True).ask().number)
        return score(trial, chosen)

    chosen = tune(a_tuning(tmp_path, objective), seconds=60)
    assert chosen == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    assert len(report(tmp_path)["trials"]) == 24
    assert [trial.number for trial in trials(tmp_path) if trial.state == TrialState.FAIL] == taken


def test_the_run_s_own_process_is_killed_and_goes_on(tmp_path, processes):
    (tmp_path / "checkpoints").mkdir()
    process = in_a_process(processes, main_process, tmp_path, stuck)
    try:
        wait_for(
            lambda: (
                (tmp_path / "checkpoints" / "tune.db").exists()
                and len(trials(tmp_path)) > 2
                and trials(tmp_path)[2].state == TrialState.RUNNING
            )
        )
    finally:
        process.kill()
        process.join()
    assert tune(a_tuning(tmp_path)) == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    assert len(report(tmp_path)["trials"]) == 24


def test_a_storage_that_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"the study of `tune` at .* cannot be opened") as caught:
        tune(a_tuning(tmp_path, way=settings(tune_storage="nodb://nowhere")))
    assert "\n" not in str(caught.value)


def test_suggestions_stay_within_their_lists():
    study = optuna.create_study()
    for _ in range(5):
        trial = study.ask()
        chosen = suggest(trial, settings(), dropout=False)
        assert chosen.learning_rate in (0.1, 0.01, 0.001)
        assert chosen.dropout is None
        study.tell(trial, 0.0)


def test_tuned_values_take_the_settings_places():
    tuned = Hyperparameters(0.5, 0.25, 0.75).applied(settings(dropout=0.3))
    assert (tuned.learning_rate, tuned.weight_decay, tuned.momentum, tuned.dropout) == (0.5, 0.25, 0.75, 0.3)
    assert Hyperparameters(0.5, 0.25, 0.75, 0.1).applied(settings()).dropout == 0.1


def test_a_process_that_slept_too_long_loses_its_trial_and_goes_on(tmp_path):
    """Another process took it for dead and put it back."""
    slept = []

    def objective(trial, chosen):
        if not slept:
            slept.append(trial.number)
            study = open_study(settings(), tmp_path, higher_is_better=True)
            study.tell(trial.number, state=TrialState.FAIL)
            tuning_study.PUT_BACK(study, study.trials[trial.number])
        return score(trial, chosen)

    assert tune(a_tuning(tmp_path, objective)) == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    assert len(report(tmp_path)["trials"]) == 24


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_trial_that_was_lost_before_it_was_put_back_is_planned_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tuning, "_plan_again", lambda *_: None)  # killed in between
        tune(a_tuning(tmp_path, interrupted))
    assert tune(a_tuning(tmp_path)) == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    assert len(report(tmp_path)["trials"]) == 24


def test_what_is_put_back_has_nobody_s_name(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    study = open_study(settings(), tmp_path, higher_is_better=True)
    study.enqueue_trial({"momentum": 0.9})
    trial = study.ask()
    trial.set_user_attr("worker", "one that died")
    study.tell(trial.number, state=TrialState.FAIL)
    tuning_study.PUT_BACK(study, study.trials[0])
    assert [each.user_attrs for each in trials(tmp_path)] == [{"worker": "one that died"}, {}]


def test_a_trial_has_a_heartbeat_before_anybody_s_name(tmp_path, monkeypatch):
    """Whoever dies then is found by it, even before Optuna's thread has recorded one."""
    monkeypatch.setattr(HeartbeatThread, "_record_heartbeat", lambda *_: None)
    recorded = []

    def objective(trial, chosen):
        with closing(sqlite3.connect(tmp_path / "checkpoints" / "tune.db")) as database:
            recorded.extend(database.execute("SELECT trial_id FROM trial_heartbeats ORDER BY trial_id"))
        return score(trial, chosen)

    tune(a_tuning(tmp_path, objective, settings(tune_learning_rates=(0.1,), tune_momenta=(0.9,))))
    assert recorded == [(1,), (1,), (2,), (1,), (2,), (3,), (1,), (2,), (3,), (4,)]


def test_what_was_lost_with_a_process_does_not_count_as_time(tmp_path):
    """Its trial seems to last until the next process puts it back, perhaps days later."""
    with pytest.raises(KeyboardInterrupt):
        tune(a_tuning(tmp_path, interrupted))
    with closing(sqlite3.connect(tmp_path / "checkpoints" / "tune.db")) as database, database:
        changed = database.execute(
            "UPDATE trials SET datetime_start = '2020-01-01 00:00:00' WHERE state = 'FAIL'"
        )
        assert changed.rowcount == 1
    tune(a_tuning(tmp_path))
    assert 0 < phase_result(tmp_path, "tune")["seconds"] < 3600


def test_runs_of_the_same_name_do_not_share_a_study(tmp_path):
    way = settings(tune_storage=f"sqlite:///{tmp_path / 'study.db'}")
    folders = [tmp_path / parent / "run.partial" for parent in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert tune(a_tuning(folders[0], way=way)) == Hyperparameters(0.01, 5e-6, 0.99, 0.05)
    other = tune(a_tuning(folders[1], lambda trial, chosen: -score(trial, chosen), way))
    assert other.learning_rate != 0.01
    names = optuna.get_all_study_names(way.tune_storage)
    assert len(set(names)) == 2 and all(name.startswith("run-tune-") for name in names)


def test_a_storage_s_password_is_neither_kept_nor_shown(waves_task, small, tmp_path):
    secret = "postgresql+psycopg2://me:s3c/r@t@db.example:5432/optuna"
    shown = "postgresql+psycopg2://me:***@db.example:5432/optuna"
    asked = small.model_copy(update={"tune_storage": secret})
    config = run_config(waves_task, asked, TimePlan(asked, {}))
    assert config["settings"]["tune_storage"] == shown
    with pytest.raises(InputError) as error:
        tune(a_tuning(tmp_path, way=settings(tune_storage="nodb://me:s3cret@nowhere")))
    assert "nodb://me:***@nowhere cannot be opened" in str(error.value)
    assert "s3cret" not in str(error.value)
