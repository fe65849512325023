"""Quality of behaviour: each rule on sessions whose faults were counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nwbpipe.errors import InputError, ParameterError
from nwbpipe.nwb_builders import make_events_table, make_intervals_table
from nwbpipe.quality._behavior import (
    BehaviorData,
    BehaviorRules,
    compute_reaction_times,
    count_trials_per_block,
    find_missing_events,
    find_order_violations,
    find_reaction_time_outliers,
    measure_behavior,
)
from tests.nwb_builders.nwb import empty_nwbfile


def behavior(trials, blocks=None, **events):
    trials = np.asarray(trials, float)
    return BehaviorData(
        trials,
        np.arange(len(trials)) + 100,
        {name: np.asarray(times, float) for name, times in events.items()},
        None if blocks is None else np.asarray(blocks, float),
    )


TEN = np.stack([np.arange(10) * 10.0, np.arange(10) * 10.0 + 8], axis=1)


def test_trials_per_block():
    session = behavior(TEN, blocks=[[0, 30], [30, 70], [75, 95]])  # the trial at 70 s is in none
    per_block, outside = count_trials_per_block(session, BehaviorRules(min_trials_per_block=3))
    assert (per_block.value, per_block.passed) == (2, False)
    assert per_block.detail == "3 blocks with 3, 4, 2 trials"
    assert (outside.value, outside.passed, outside.trials) == (0.1, False, (107,))
    assert count_trials_per_block(session, BehaviorRules(min_trials_per_block=2, max_outside=0.1))[0].passed


def test_a_trial_on_a_bound_is_in_one_block():
    per_block, outside = count_trials_per_block(behavior([[10, 12]], blocks=[[0, 10], [10, 20]]), BehaviorRules())
    assert per_block.detail == "2 blocks with 0, 1 trials"
    assert outside.passed


def test_missing_events():
    session = behavior(TEN, cue=TEN[:, 0], reward=TEN[[0, 1, 2, 3, 4, 5, 6], 1])
    found = find_missing_events(session, BehaviorRules(required=("cue", "reward")))
    assert (found.value, found.passed) == (pytest.approx(0.3), False)
    assert found.trials == (107, 108, 109)
    assert found.detail == "3 of 10 trials; missing in trials: cue: 0, reward: 3"
    assert find_missing_events(session, BehaviorRules(required=("cue",))).passed  # on the bound, and within
    between = behavior(TEN, cue=TEN[:, 0] + 9)  # after each trial's end
    assert find_missing_events(between, BehaviorRules(required=("cue",))).value == 1.0


def test_order():
    cue, choice, reward = TEN[:, 0] + 1, TEN[:, 0] + 2, TEN[:, 0] + 3
    choice[3], reward[5] = 30.5, 51.5  # before the cue; before the choice
    session = behavior(TEN, cue=cue, choice=choice, reward=np.delete(reward, 8))
    found = find_order_violations(session, ("cue", "choice", "reward"))
    assert found.trials == (103, 105)
    assert found.value == pytest.approx(0.2)
    # What lies between two events may be missing: the rule holds across it.
    session = behavior([[0, 9]], a=[5], b=[20], c=[1])
    assert find_order_violations(session, ("a", "b", "c")).value == 1.0
    # Equal times are in order, and a second occurrence does not count.
    assert find_order_violations(behavior([[0, 9]], a=[5, 7], b=[5]), ("a", "b")).passed


def test_reaction_times():
    session = behavior([[0, 5], [10, 15], [20, 25], [30, 35]], cue=[1, 11, 31], lick=[0.5, 1.25, 17, 21, 31])
    np.testing.assert_allclose(compute_reaction_times(session, "cue", "lick"), [0.25, np.nan, np.nan, 0.0])


def test_outliers_by_the_formula():
    generator = np.random.default_rng(0)
    times = np.exp(generator.normal(np.log(0.3), 0.2, 10))
    times[2], times[7] = 0.01, 6.0  # to nothing; asleep
    session = behavior(TEN, cue=TEN[:, 0], lick=TEN[:, 0] + times)
    found = find_reaction_time_outliers(session, BehaviorRules(stimulus="cue", response="lick"))
    assert found.trials == (102, 107)
    assert (found.value, found.passed) == (pytest.approx(0.2), False)
    log = np.log(np.delete(times, 2))
    spread = 1.4826 * np.median(np.abs(log - np.median(log)))
    assert found.detail.startswith(f"2 of 10 trials; median {np.exp(np.median(log)):.4f} s; 1 too early, 1 far off")
    # Exactly at the limit is no outlier.
    at = np.exp(np.median(log)) * np.exp(4.999 * spread)
    assert at < 6.0


def test_few_false_alarms():
    """Of 5,000 log-normal reaction times, 5 robust deviations leave less than 1 in 1,000 out."""
    generator = np.random.default_rng(1)
    trials = np.stack([np.arange(5000) * 100.0, np.arange(5000) * 100.0 + 99], axis=1)
    lick = trials[:, 0] + np.exp(generator.normal(np.log(0.4), 0.3, 5000))
    found = find_reaction_time_outliers(
        behavior(trials, cue=trials[:, 0], lick=lick), BehaviorRules(stimulus="cue", response="lick")
    )
    assert found.value < 1e-3
    assert found.passed


def test_without_reaction_times_nothing_passes():
    session = behavior(TEN, cue=TEN[:, 0] + 1, lick=TEN[:, 0])
    found = find_reaction_time_outliers(session, BehaviorRules(stimulus="cue", response="lick"))
    assert np.isnan(found.value)
    assert not found.passed


def test_equal_reaction_times_are_no_outliers():
    session = behavior(TEN, cue=TEN[:, 0], lick=TEN[:, 0] + 0.25)
    assert find_reaction_time_outliers(session, BehaviorRules(stimulus="cue", response="lick")).value == 0.0


def test_of_a_file():
    nwbfile = empty_nwbfile()
    with pytest.raises(InputError, match="no trials"):
        measure_behavior(nwbfile)
    nwbfile.trials = make_intervals_table("trials", "t", TEN[:, 0], TEN[:, 1], ids=np.arange(10) + 100)
    nwbfile.epochs = make_intervals_table("epochs", "e", [0.0, 50.0], [50.0, 100.0])
    nwbfile.add_events_table(make_events_table("log", "l", TEN[:, 0], names=["cue"] * 10))
    nwbfile.add_events_table(make_events_table("lick", "l", TEN[:9, 0] + 0.3))  # all of one kind: the table's name
    rules = BehaviorRules(required=("cue", "lick"), order=("cue", "lick"), stimulus="cue", response="lick")
    found = {measure.name: measure for measure in measure_behavior(nwbfile, rules)}
    assert found["trials_per_block"].value == 5
    assert found["trials_outside_blocks"].passed
    assert found["missing_events"].trials == (109,)
    assert found["order_violations"].passed
    assert found["reaction_time_outliers"].value == 0
    assert len(measure_behavior(nwbfile)) == 2
    with pytest.raises(InputError, match="no event is called 'bark'"):
        measure_behavior(nwbfile, BehaviorRules(required=("bark",)))


def test_rules_that_contradict_themselves():
    with pytest.raises(ParameterError, match="between two events"):
        BehaviorRules(stimulus="cue")
    with pytest.raises(ParameterError, match="twice"):
        BehaviorRules(order=("a", "b", "a"))
