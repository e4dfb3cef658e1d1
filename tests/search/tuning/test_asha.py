"""Successive halving: what is drawn, who goes on at a rung, and what a killed study goes on to."""

import math
import multiprocessing
import os
import signal

import optuna
import pytest
import torch
from optuna.trial import TrialState

from dashdeploy.artifacts.run import Architecture
from dashdeploy.backbones.build import build_searched
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.tuning import tune as tuning
from dashdeploy.search.tuning.halving import (
    HalvingPruner,
    expected_epochs,
    is_rung,
    rung_after,
    trial_checkpoint,
)
from dashdeploy.search.tuning.space import Hyperparameters, drawn
from dashdeploy.search.tuning.study import PUT_BACK, open_study
from dashdeploy.search.tuning.trial import ClimbRungs, tuning_of
from dashdeploy.search.tuning.tune import Tuning, _work, help_tuning

EPOCHS = 5


@pytest.fixture
def settings(small):
    def of(**overrides):
        way = {
            "tune": "asha",
            "tune_trials": 12,
            "tune_epochs": EPOCHS,
            "tune_learning_rates": (1e-5, 0.5),
            "tune_weight_decays": (5e-7, 5e-3),
        }
        return small.model_copy(update=way | overrides)

    return of


def score(chosen, epochs):
    """Ever better, and best at rate 0.01."""
    return 1 - abs(math.log10(chosen.learning_rate) + 2) / 10 + epochs / 100


def objective(trial, chosen):
    for epochs in range(1, EPOCHS + 1):
        trial.report(score(chosen, epochs), epochs)
        if epochs < EPOCHS and trial.should_prune():
            raise optuna.TrialPruned
    return score(chosen, EPOCHS)


def a_tuning(folder, way, objective=objective, **more):
    (folder / "checkpoints").mkdir(exist_ok=True, parents=True)
    return Tuning(way, folder, objective, **({"higher_is_better": True, "dropout": True} | more))


def reference(plan, epochs=EPOCHS):
    """Asynchronous successive halving of one process, from its definition: the state and epochs of every trial."""
    rungs, ends = {}, []
    for params in plan:
        state, chosen = "complete", Hyperparameters(**params)
        for done in range(1, epochs + 1):
            if done in (1, 2, 4, 8, 16) and done < epochs:
                values = rungs.setdefault(done, [])
                values.append(score(chosen, done))
                best = sorted(values, reverse=True)[: max(1, len(values) // 2)]
                if values[-1] not in best:
                    state = "pruned"
                    break
        ends.append((state, done))
    return ends


def test_rungs_are_powers_of_two():
    assert [epochs for epochs in range(20) if is_rung(epochs)] == [1, 2, 4, 8, 16]
    assert [rung_after(epochs) for epochs in (0, 1, 2, 3, 4, 7, 8, 20)] == [None, 0, 1, 1, 2, 2, 3, 4]


def test_what_a_trial_takes_on_average():
    # Half of the trials take 1 epoch, a quarter 2, an eighth 4, a sixteenth 8, one of 32 16, and the rest 20.
    by_hand = 1 / 2 + 2 / 4 + 4 / 8 + 8 / 16 + 16 / 32 + 20 / 32
    assert expected_epochs(20) == pytest.approx(by_hand)
    assert expected_epochs(1) == 1


def test_what_is_drawn_lies_in_the_space_and_depends_on_the_seed_alone(settings):
    way = settings(tune_trials=200)
    plan = drawn(way, dropout=True)
    assert plan == drawn(way, dropout=True)
    assert plan[:12] == drawn(settings(), dropout=True)
    assert [params["seed"] for params in plan] == list(range(way.seed, way.seed + 200))
    rates = [params["learning_rate"] for params in plan]
    assert min(rates) >= 1e-5 and max(rates) <= 0.5
    # In the logarithm, half of them lie on either side of the middle.
    assert 70 < sum(rate < math.sqrt(1e-5 * 0.5) for rate in rates) < 130
    assert {params["dropout"] for params in plan} == {0.0, 0.05}
    assert all(5e-7 <= params["weight_decay"] <= 5e-3 for params in plan)
    assert all(0.9 <= params["momentum"] <= 0.99 for params in plan)
    assert "dropout" not in drawn(way, dropout=False)[0]
    assert drawn(settings(seed=2), dropout=True)[0] != plan[0]


def test_open_settings_are_those_of_dasha(waves_task):
    paper = run_settings(waves_task, SearchSettings.preset("paper", tune="asha"))
    assert (paper.tune_trials, paper.tune_epochs) == (120, 20)
    assert (paper.tune_learning_rates, paper.tune_weight_decays) == ((1e-5, 0.5), (5e-7, 5e-3))
    quick = run_settings(waves_task, SearchSettings.preset("quick", tune="asha"))
    assert (quick.tune_learning_rates, quick.tune_weight_decays) == ((1e-5, 0.05), (5e-4, 1.0))
    assert quick.tune_epochs <= 20 < run_settings(waves_task, SearchSettings(retrain_epochs=90)).tune_epochs
    grid = run_settings(waves_task, SearchSettings.preset("paper"))
    assert (grid.tune_epochs, grid.tune_weight_decays) == (40, (5e-4, 5e-6))


def test_halves_the_trials_at_every_rung(settings, tmp_path):
    way = settings(tune_trials=40)
    tuned = tuning.tune(a_tuning(tmp_path, way))
    plan = drawn(way, dropout=True)
    trials = tuned.trials["trials"]
    assert [{name: trial[name] for name in plan[0]} for trial in trials] == plan
    assert [(trial["state"], trial["epochs"]) for trial in trials] == reference(plan)
    assert {trial["rung"] for trial in trials} == {0, 1, 2}
    best = min(plan, key=lambda params: abs(math.log10(params["learning_rate"]) + 2))
    assert tuned.chosen == Hyperparameters(**best)
    assert tuned.trials["chosen"]["seed"] == best["seed"]
    assert not (tmp_path / "checkpoints" / "tune").exists()


def test_less_is_better_for_an_error(settings, tmp_path):
    def error(trial, chosen):
        for epochs in range(1, EPOCHS + 1):
            trial.report(-score(chosen, epochs), epochs)
            if epochs < EPOCHS and trial.should_prune():
                raise optuna.TrialPruned
        return -score(chosen, EPOCHS)

    tuned = tuning.tune(a_tuning(tmp_path, settings(), error, higher_is_better=False))
    ends = [(trial["state"], trial["epochs"]) for trial in tuned.trials["trials"]]
    assert ends == reference(drawn(settings(), dropout=True))


def test_where_all_that_got_to_the_end_diverged_the_furthest_wins(settings, tmp_path):
    def diverges(trial, chosen):
        objective(trial, chosen)
        return -math.inf

    tuned = tuning.tune(a_tuning(tmp_path, settings(), diverges))
    pruned = [trial for trial in tuned.trials["trials"] if trial["state"] == "pruned"]
    furthest = max(pruned, key=lambda trial: (trial["epochs"], trial["value"]))
    assert tuned.chosen.seed == furthest["seed"]


def test_an_interrupted_study_goes_on_to_the_same_end(settings, tmp_path):
    """Whatever a lost trial had at its rungs counts once, and the trial is the next to be tried."""
    way = settings(tune_trials=24)
    expected = tuning.tune(a_tuning(tmp_path / "whole", way)).trials
    calls = 0

    def falters(trial, chosen):
        nonlocal calls
        calls += 1
        for epochs in range(1, EPOCHS + 1):
            trial.report(score(chosen, epochs), epochs)
            ends = epochs < EPOCHS and trial.should_prune()
            if calls % 2:
                raise KeyboardInterrupt  # between a decision and what comes of it
            if ends:
                raise optuna.TrialPruned
        return score(chosen, EPOCHS)

    tuned, interrupted = None, 0
    while tuned is None:
        try:
            tuned = tuning.tune(a_tuning(tmp_path / "broken", way, falters))
        except KeyboardInterrupt:
            interrupted += 1
    assert interrupted == 24
    assert tuned.trials == expected


def test_processes_draw_no_choice_twice(settings, tmp_path):
    others = []

    def shared(trial, chosen):
        if not others:  # another process takes a trial while this one is under way
            others.append(trial.number)
            study = open_study(settings(), tmp_path, higher_is_better=True)
            assert _work(a_tuning(tmp_path, settings(), worker="another"), study)
        return objective(trial, chosen)

    tuned = tuning.tune(a_tuning(tmp_path, settings(), shared))
    assert [trial["seed"] for trial in tuned.trials["trials"]] == list(range(7, 19))


def test_what_is_put_back_has_passed_no_rung():
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner())
    lost = study.ask()
    lost.report(0.9, 1)
    assert not lost.should_prune()
    study.tell(lost, state=TrialState.FAIL)
    PUT_BACK(study, study.trials[0])
    assert [name for name in study.trials[1].system_attrs if "rung" in name] == []
    # Neither is it compared with itself: 0.5 is the first value at the rung.
    other = study.ask()
    other.report(0.5, 1)
    assert not other.should_prune()


def test_a_trial_that_goes_on_has_its_values_at_the_rungs_again(tmp_path):
    study = optuna.create_study(direction="maximize", pruner=HalvingPruner())
    resumed = ClimbRungs(study.ask(), tmp_path / "none")
    resumed.load_state_dict({"reported": [0.8, 0.9, 0.9]})
    assert resumed.state_dict() == {"reported": [0.8, 0.9, 0.9]}
    for value, step, ends in [(0.7, 1, True), (0.85, 1, False), (0.85, 2, True)]:
        other = study.ask()
        other.report(value, step)
        # Optuna judges a trial at all rungs that it has got to.
        assert other.should_prune() == ends


# Real trainings.


def architecture(arguments=None):
    given = {"in_channels": 1, "outputs": 3, "width": 4} | (arguments or {})
    return Architecture(backbone="resnet1d", arguments=given, kernel_sizes=[3], dilations=[1], layers=[])


def real(task, way, folder, **more):
    (folder / "checkpoints").mkdir(exist_ok=True, parents=True)
    return tuning_of(task, way, architecture(), folder, **more)


def dies(task, way, folder, rung):
    """Tune until a trial has passed `rung`, and die then by a signal that cannot be caught."""
    from dashdeploy.search.tuning import trial as tuning_trial

    torch.set_num_threads(1)
    save = tuning_trial.save_training

    def save_and_die(trainer, path):
        save(trainer, path)
        if trainer.current_epoch + 1 == rung:
            os.kill(os.getpid(), signal.SIGKILL)

    tuning_trial.save_training = save_and_die
    tuning.tune(real(task, way, folder))


def joined(task, way, folder):
    torch.set_num_threads(1)
    help_tuning(real(task, way, folder, worker=str(os.getpid())))


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dashdeploy.search.tuning.trial"])
    return context


def test_a_trial_that_is_killed_goes_on_from_its_rung(waves_task, settings, tmp_path, processes, monkeypatch):
    way = settings(tune_trials=6)
    expected = tuning.tune(real(waves_task, way, tmp_path / "whole")).trials
    broken = tmp_path / "broken"
    for rung in (1, 2):
        process = processes.Process(target=dies, args=(waves_task, way, broken, rung))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    kept = list((broken / "checkpoints" / "tune").iterdir())
    assert kept == [trial_checkpoint(broken, way.seed)]
    from dashdeploy.search.tuning import trial as tuning_trial

    started = []
    fit = tuning_trial.fit

    def fit_from(trainer, module, checkpoint=None):
        fit(trainer, module, checkpoint)
        started.append(checkpoint)

    monkeypatch.setattr(tuning_trial, "fit", fit_from)
    tuned = tuning.tune(real(waves_task, way, broken))
    assert tuned.trials == expected
    assert started == [kept[0], *[None] * 5]  # the others started anew
    assert not (broken / "checkpoints" / "tune").exists()
    assert {trial["state"] for trial in expected["trials"]} == {"complete", "pruned"}


def test_retraining_starts_with_the_winner_s_weights(waves_task, settings, tmp_path, monkeypatch):
    """The same seed gives the trial and the retrained network the same weights before their first step."""
    import lightning as L

    from dashdeploy.search.tuning import trial as tuning_trial

    first = {}

    def keep(trainer, module, checkpoint=None):
        first[module.settings.seed] = {name: w.clone() for name, w in module.network.state_dict().items()}
        fit(trainer, module, checkpoint)

    fit = tuning_trial.fit
    monkeypatch.setattr(tuning_trial, "fit", keep)
    way = settings(tune_trials=3)
    tuned = tuning.tune(real(waves_task, way, tmp_path))
    assert sorted(first) == [7, 8, 9]
    assert not torch.equal(first[7]["head.weight"], first[8]["head.weight"])
    again = tuned.chosen.applied(way)
    assert again.seed == tuned.chosen.seed
    L.seed_everything(again.seed, verbose=False)
    retrained = build_searched(tuned.chosen.applied_to(architecture())).state_dict()
    assert all(torch.equal(retrained[name], w) for name, w in first[again.seed].items())


@pytest.mark.slow
def test_two_processes_share_a_study(waves_task, settings, tmp_path, processes):
    way = settings(tune_trials=8)
    (tmp_path / "checkpoints").mkdir()
    open_study(way, tmp_path, higher_is_better=True)
    helper = processes.Process(target=joined, args=(waves_task, way, tmp_path))
    helper.start()
    tuned = tuning.tune(real(waves_task, way, tmp_path))
    helper.join()
    assert helper.exitcode == 0
    assert [trial["seed"] for trial in tuned.trials["trials"]] == list(range(7, 15))
