"""What fits into the time that there is, against the costs that the plan itself is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashdeploy.search import time_plan as module
from dashdeploy.search.config.phases import TimePlan, in_words
from dashdeploy.search.config.run_settings import run_settings
from dashdeploy.search.config.settings import SearchSettings
from dashdeploy.search.phase_time import finishing_seconds, phase_seconds, retrain_passes
from dashdeploy.search.step_time import StepSeconds
from dashdeploy.search.time_plan import (
    in_single_passes,
    leaves_epochs_open,
    plan_of_run,
    quickest,
    time_plan,
    with_freed_time,
)


def all_seconds(plan):
    return sum(plan.seconds.values()) + plan.finishing


def planned(task, asked, step, seconds):
    return time_plan(task, asked, run_settings(task, asked), step, seconds)


STEP = StepSeconds(supernet=0.2, searched=0.06, backbone=0.04)
QUICK = SearchSettings(shortlist=7)
NARROW = QUICK.model_copy(update={"narrow_towers": True})


def test_with_time_enough_nothing_is_left_out(waves_task):
    plan = planned(waves_task, QUICK, STEP, 1e9)
    assert plan.settings == run_settings(waves_task, QUICK)
    assert list(plan.seconds) == ["search", "shortlist", "retrain", "backbone"]


def test_what_a_phase_is_expected_to_take(waves_task):
    """76 series to learn from, 14 held out; batches of 9, so 8 a pass, 6 passes an epoch, 48 steps."""
    chosen = run_settings(waves_task, QUICK)
    train, held = len(waves_task.train.targets), len(waves_task.validation.targets)
    assert (train, held, chosen.batch_size, chosen.epoch_passes) == (76, 14, 9, 6)
    seconds = phase_seconds(waves_task, chosen, STEP)
    steps = 48 + 14 / 9 / 3  # a validation costs a third
    assert seconds["search"] == pytest.approx(chosen.search_epochs * steps * 0.2)
    steps = 6 * 10 + 14 / 9 / 3  # refit: all 90
    assert seconds["retrain"] == pytest.approx(chosen.retrain_epochs * steps * 0.06)
    assert seconds["backbone"] == pytest.approx(chosen.retrain_epochs * steps * 0.04)
    # Seven short trainings that hold out one part of three, then three whole ones that hold out each, and the
    # winner with series scaled by themselves, by branches, and its towers.
    short = -(-chosen.shortlist_epochs // 3)
    steps = 6 * 6 + 30 / 9 / 3
    epochs = 7 * short + (3 + 3) * 3 * chosen.shortlist_epochs
    # Behind each training, batch norms look at its 60 series, and its judge at the other 30.
    judged = (7 + (3 + 3) * 3) * (60 + 30) / 9 / 3
    assert seconds["shortlist"] == pytest.approx((epochs * steps + judged) * 0.06)


def test_successive_halving_is_expected_to_take_a_part_of_its_epochs(waves_task):
    asha = QUICK.model_copy(update={"tune": "asha", "tune_trials": 64, "tune_epochs": 4})
    chosen = run_settings(waves_task, asha)
    steps = 8 + 14 / 9 / 3  # an epoch is one pass where a number of epochs is given
    # 32 end after the first epoch, 16 after the second, and 16 reach the fourth.
    epochs = 32 * 1 + 16 * 2 + 16 * 4
    assert phase_seconds(waves_task, chosen, STEP)["tune"] == pytest.approx(epochs * steps * 0.06)


def test_every_member_of_an_ensemble_is_planned_for(waves_task):
    five = QUICK.model_copy(update={"ensemble": 5})
    alone, together = (
        phase_seconds(waves_task, run_settings(waves_task, each), STEP) for each in (QUICK, five)
    )
    added = {f"retrain-{member}": alone["retrain"] for member in (2, 3, 4, 5)}
    assert together == alone | added
    assert list(together)[2:] == ["retrain", *added, "backbone"]
    # In the time that the run with one network takes, five are trained for less long.
    plan = planned(waves_task, five, STEP, sum(alone.values()))
    assert all_seconds(plan) <= sum(alone.values())
    assert plan.settings.ensemble == 5


def test_the_selection_becomes_shorter_before_the_final_trainings(waves_task):
    whole = run_settings(waves_task, QUICK)
    total = all_seconds(planned(waves_task, QUICK, STEP, 1e9))
    little_less = planned(waves_task, QUICK, STEP, 0.8 * total).settings
    assert little_less == whole.model_copy(update={"shortlist_parts": little_less.shortlist_parts})
    assert 1 <= little_less.shortlist_parts < 3
    less = planned(waves_task, QUICK, STEP, 0.4 * total).settings
    assert less.retrain_epochs == whole.retrain_epochs
    assert less.shortlist_epochs < whole.shortlist_epochs and less.search_epochs < whole.search_epochs
    little = planned(waves_task, QUICK, STEP, 0.1 * total).settings
    assert little.retrain_epochs * little.epoch_passes < whole.retrain_epochs * whole.epoch_passes
    assert little.shortlist == 3


@given(seconds=st.floats(30, 3000), supernet=st.floats(0.5, 30))
def test_the_final_trainings_have_half_of_a_short_time(waves_task, seconds, supernet):
    """Also where a step of the search takes so long that it gets few of them, as with images on one core."""
    whole = run_settings(waves_task, QUICK)
    step = StepSeconds(supernet, 1.0, 0.4)
    plan = planned(waves_task, QUICK, step, seconds)
    final = plan.seconds["retrain"] + plan.seconds["backbone"]
    wanted = phase_seconds(waves_task, whole, step)
    seconds -= plan.finishing
    one_pass = 8 * 1.0 * 1.5 + 8 * 0.4 * 1.5
    assert final >= min(wanted["retrain"] + wanted["backbone"], seconds / 2) - one_pass
    # What the selection takes beyond its half is the least that it can do.
    least = 2 * supernet + 3 * 8 * 1.5
    assert sum(plan.seconds.values()) <= seconds / 2 + max(seconds / 2, least) + one_pass


def test_a_short_time_is_counted_out_in_single_passes(waves_task):
    whole = run_settings(waves_task, QUICK)
    single = in_single_passes(whole, QUICK)
    assert (whole.epoch_passes, single.epoch_passes) == (6, 1)
    for name in ("search_epochs", "shortlist_epochs", "retrain_epochs"):
        assert getattr(single, name) == 6 * getattr(whole, name)
    asked = QUICK.model_copy(update={"epoch_passes": 6})
    assert in_single_passes(run_settings(waves_task, asked), asked).epoch_passes == 6
    tuned = QUICK.model_copy(update={"tune": "asha"})
    assert in_single_passes(run_settings(waves_task, tuned), tuned).epoch_passes == 6


@given(seconds=st.floats(52, 5000), slow=st.floats(0.1, 10))
def test_it_fits_however_short_the_time_is(waves_task, seconds, slow):
    """The least of the selection takes at most 23 s, and has half of the time; statistics and scores take 6 s."""
    step = StepSeconds(0.2 * slow, 0.06 * slow, 0.04 * slow)
    plan = planned(waves_task, QUICK, step, seconds)
    assert all_seconds(plan) <= seconds


def test_epochs_that_are_given_stay(waves_task):
    asked = SearchSettings(search_epochs=50)
    assert planned(waves_task, asked, STEP, 60.0).settings.search_epochs == 50
    assert leaves_epochs_open(asked)
    assert not leaves_epochs_open(SearchSettings(search_epochs=1, retrain_epochs=1))
    assert not leaves_epochs_open(SearchSettings.preset("paper"))


def test_a_pass_that_is_too_long_sees_a_part_of_the_data(waves_task):
    asked = SearchSettings(epoch_passes=1, search_steps=1, retrain_steps=1, batch_size=2)
    slow = StepSeconds(100.0, 50.0, 50.0)
    settings = planned(waves_task, asked, slow, 1000.0).settings
    assert (settings.search_epochs, settings.retrain_epochs) == (1, 1)
    assert settings.search_share < 0.1 and settings.shortlist_share < 0.1 and settings.retrain_share < 0.1


def test_a_short_list_may_see_a_part_of_the_data(waves_task):
    """Of 38 batches of 2 that a pass over 76 series has, 4."""
    asked = SearchSettings(search_epochs=1, retrain_epochs=2, batch_size=2, shortlist=2, shortlist_folds=1)
    part = asked.model_copy(
        update={
            "shortlist_share": 0.1,
            "towers": 1,
            "reparameterize": False,
            "scale_samples": False,
            "shortlist_epochs": 5,
        }
    )
    seconds = phase_seconds(waves_task, run_settings(waves_task, part), STEP)
    judged = 2 * (76 + 14) / 2 / 3
    assert seconds["shortlist"] == pytest.approx((2 * 5 * (4 + 14 / 2 / 3) + judged) * 0.06)


def test_time_is_kept_for_the_scores(waves_task):
    """Sixty test series, and 90 for batch norms: a third of a step for each batch of 9, by both networks."""
    whole = run_settings(waves_task, QUICK)
    count = len(waves_task.test.targets)
    assert (count, whole.batch_size, whole.refit) == (60, 9, True)
    finishing = finishing_seconds(waves_task, whole, STEP)
    assert finishing == pytest.approx((60 + 90) / 9 / 3 * (0.06 + 0.04))
    held = whole.model_copy(update={"refit": False, "ensemble": 3})  # scored after the trainings as well
    expected = (60 + 14 + 76) / 9 / 3 * (3 * 0.06 + 0.04)
    assert finishing_seconds(waves_task, held, STEP) == pytest.approx(expected)
    without = whole.model_copy(update={"recalibrate": False})
    assert finishing_seconds(waves_task, without, STEP) == pytest.approx(60 / 9 / 3 * (0.06 + 0.04))
    plan = time_plan(waves_task, QUICK, whole, STEP, 300.0)
    assert plan.finishing == finishing
    assert 0.97 * 300 < all_seconds(plan) <= 300


def test_one_thread_is_taken_where_several_hinder_each_other(waves_task, monkeypatch):
    """A twentieth of the time by one thread decides; a quarter less does not, since idle machines vary as much."""
    hindered, said = [StepSeconds(4.0, 1.2, 0.8), StepSeconds(0.2, 0.06, 0.04, threads=1)], []
    monkeypatch.setattr(module, "measured_steps", lambda *_: hindered)
    monkeypatch.setattr(module.time, "perf_counter", lambda: 100.0)  # of 500 seconds, some are over by now
    whole = run_settings(waves_task, QUICK)
    plan = plan_of_run(waves_task, QUICK, whole, None, 500.0, said.append)
    assert plan == time_plan(waves_task, QUICK, whole, hindered[1], 400.0)
    assert plan.threads == 1 and "with 1 thread" in said[0]
    nearly = [StepSeconds(0.2, 0.06, 0.04), StepSeconds(0.15, 0.045, 0.03, threads=1)]
    assert quickest(nearly, waves_task, whole) is nearly[0]
    assert quickest(nearly[::-1], waves_task, whole) is nearly[1]


@pytest.mark.parametrize(
    ("ensemble", "planned_epochs", "share", "expected"),
    [
        (1, 100, 1.0, (200, 1.0)),
        (4, 100, 1.0, (125, 1.0)),  # four trainings share the time of a fifth
        (1, 200, 1.0, (252, 1.0)),  # all that a run with time enough has
        (1, 252, 1.0, (252, 1.0)),
        (1, 1, 0.3, (1, 0.6)),  # not even one pass
        (1, 1, 0.8, (1, 1.0)),
    ],
)
def test_time_that_the_backbone_does_not_need_goes_to_the_final_trainings(
    waves_task, ensemble, planned_epochs, share, expected
):
    whole = in_single_passes(run_settings(waves_task, QUICK), QUICK).model_copy(
        update={"ensemble": ensemble, "retrain_epochs": 252}
    )
    settings = whole.model_copy(update={"retrain_epochs": planned_epochs, "retrain_share": share})
    chosen = with_freed_time(settings, whole)
    assert (chosen.retrain_epochs, chosen.retrain_share) == pytest.approx(expected)
    assert chosen == settings.model_copy(
        update={"retrain_epochs": chosen.retrain_epochs, "retrain_share": chosen.retrain_share}
    )
    own = settings.model_copy(update={"backbone_epochs": 5})
    assert with_freed_time(own, whole) == own


def test_passes_are_counted_over_epochs_of_another_length(waves_task):
    """A plan for a short time has epochs of one pass where the whole run has six."""
    whole = run_settings(waves_task, QUICK)
    short = in_single_passes(whole, QUICK).model_copy(update={"retrain_epochs": 6 * whole.retrain_epochs - 3})
    assert with_freed_time(short, whole).retrain_epochs == 6 * whole.retrain_epochs


def test_a_run_says_when_the_time_is_too_short_to_search(waves_task, monkeypatch):
    monkeypatch.setattr(module, "measured_steps", lambda *_: [StepSeconds(5.0, 1.0, 0.4)])
    whole, said = run_settings(waves_task, QUICK), []
    monkeypatch.setattr(module.time, "perf_counter", lambda: 0.0)
    plan_of_run(waves_task, QUICK, whole, None, 120.0, said.append)
    assert len(said) == 2
    assert "of the steps of a search" in said[1] and said[1].endswith(" h")
    said.clear()
    plan_of_run(waves_task, QUICK, whole, None, 1e9, said.append)
    assert len(said) == 1


def test_in_words(small):
    assert [in_words(each) for each in (0.4, 42, 200, 7000)] == ["0 s", "42 s", "3 min", "1.9 h"]
    assert str(TimePlan(small, {"search": 42.0, "retrain": 200.0})) == "search 42 s, retrain 3 min"


def smaller(task, asked, step, seconds):
    """The plan of a run whose searched network is smaller than its backbone."""
    whole = run_settings(task, asked).model_copy(update={"searched_arguments": {"patch": 2}})
    return whole, time_plan(task, asked, whole, step, seconds)


def test_a_larger_backbone_has_as_many_steps_if_there_is_time(waves_task):
    step = StepSeconds(supernet=0.2, searched=0.06, backbone=2.0)
    whole, plan = smaller(waves_task, NARROW, step, 1e9)
    assert plan.settings == whole
    assert plan.seconds["backbone"] > 20 * plan.seconds["retrain"]


@given(seconds=st.floats(60, 3000), backbone=st.floats(0.1, 100))
def test_a_larger_backbone_has_what_is_left_and_as_long_as_retraining(waves_task, seconds, backbone):
    """It does not take the time of the network that is searched, whose steps are those beside an equal backbone."""
    step = StepSeconds(supernet=0.2, searched=0.06, backbone=backbone)
    _, plan = smaller(waves_task, NARROW, step, seconds)
    as_quick = planned(waves_task, QUICK, StepSeconds(0.2, 0.06, 0.06), seconds - plan.finishing)
    for name in ("search_epochs", "shortlist_epochs", "retrain_epochs"):
        # In passes: of two times that are equal but for rounding, one may be divided into epochs of single passes.
        mine, equal = (getattr(each.settings, name) * each.settings.epoch_passes for each in (plan, as_quick))
        assert mine == pytest.approx(equal, rel=0.1, abs=2 * plan.settings.epoch_passes)
    taken, left = plan.seconds["backbone"], seconds - plan.finishing - sum(plan.seconds.values())
    if plan.settings.backbone_epochs is None:
        assert plan.settings.backbone_share is None
    else:
        # A step more or less in each pass.
        epochs, passes = plan.settings.backbone_epochs, plan.settings.epoch_passes
        rounded = epochs * (passes + 14 / 9 / 3) * backbone
        assert taken >= plan.seconds["retrain"] - rounded
        assert left > -rounded or taken < plan.seconds["retrain"] + rounded
        assert left < rounded  # nothing is wasted


def test_epochs_of_the_backbone_that_were_asked_for_stay(waves_task):
    asked = NARROW.model_copy(update={"backbone_epochs": 7})
    _, plan = smaller(waves_task, asked, StepSeconds(0.2, 0.06, 5.0), 100)
    assert plan.settings.backbone_epochs == 7 and plan.settings.backbone_share is None
    asked = NARROW.model_copy(update={"backbone_share": 0.5})
    _, plan = smaller(waves_task, asked, StepSeconds(0.2, 0.06, 5.0), 100)
    assert plan.settings.backbone_epochs is None and plan.settings.backbone_share == 0.5


@pytest.mark.parametrize(("backbone", "count"), [(0.6, 4), (0.2, 3), (0.13, 2), (0.119, None)])
def test_as_many_networks_are_planned_as_cost_less_than_the_backbone(waves_task, backbone, count):
    step = StepSeconds(supernet=0.2, searched=0.06, backbone=backbone)
    whole, plan = smaller(waves_task, QUICK, step, 1e9)
    assert plan.settings == whole.model_copy(
        update={} if count is None else {"towers": count, "narrow_towers": False}
    )
    one = phase_seconds(waves_task, whole, step)
    assert plan.seconds["retrain"] == pytest.approx((count or 1) * one["retrain"])
    assert plan.seconds["retrain"] <= plan.seconds["backbone"]
    assert plan.seconds["search"] == one["search"]
    if count:  # they need no comparison
        assert plan.seconds["shortlist"] < one["shortlist"]


@given(
    seconds=st.floats(30, 3000),
    ratio=st.one_of(st.sampled_from([2.0, 3.0, 4.0]), st.floats(1, 10)),
    named=st.sampled_from([{}, {"retrain_epochs": 40, "backbone_epochs": 40}, {"backbone_share": 0.5}]),
)
def test_there_are_several_only_if_there_is_time_for_all_their_steps_and_the_backbone_s(
    waves_task, seconds, ratio, named
):
    step = StepSeconds(supernet=0.2, searched=0.0625, backbone=0.0625 * ratio)
    asked = QUICK.model_copy(update=named)
    whole, plan = smaller(waves_task, asked, step, seconds)
    several = plan.settings.narrow_towers is False
    if several:
        assert retrain_passes(plan.settings) == retrain_passes(whole)
        assert plan.settings.backbone_epochs == whole.backbone_epochs
        assert sum(plan.seconds.values()) + plan.finishing <= seconds
        assert plan.seconds["search"] + plan.seconds["shortlist"] > 0
    else:
        assert plan.settings.towers is None
    _, longer = smaller(waves_task, asked, step, 2 * seconds)
    assert (longer.settings.towers or 1) >= (plan.settings.towers or 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"narrow_towers": True},
        {"towers": 1},
        {"towers": 2},
        {"tune": "tpe"},
        {"shortlist": 1},
        {"ensemble": 2},
        {"latency_weight": 0.1},
    ],
)
def test_settings_may_forbid_several_networks(waves_task, changes):
    asked = QUICK.model_copy(update=changes)
    whole, plan = smaller(waves_task, asked, StepSeconds(0.2, 0.06, 0.6), 1e9)
    assert plan.settings.towers == whole.towers and plan.settings.narrow_towers == whole.narrow_towers


def test_a_network_of_the_backbone_s_size_stays_one(waves_task):
    plan = planned(waves_task, QUICK, StepSeconds(0.2, 0.06, 0.6), 1e9)
    assert plan.settings.towers is None


def test_trials_of_several_networks_take_as_many_times_as_long(waves_task):
    one = QUICK.model_copy(update={"tune": "tpe", "tune_trials": 4, "towers": 1})
    three = one.model_copy(update={"towers": 3, "narrow_towers": False})
    alone, together = (
        phase_seconds(waves_task, run_settings(waves_task, each), STEP) for each in (one, three)
    )
    for phase in ("tune", "retrain"):
        assert together[phase] == pytest.approx(3 * alone[phase])
    assert together["backbone"] == alone["backbone"]
