"""Trials and events against their truth: read by pandas, and by NeuroConv."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nwbpipe.simulate import SimulatedSession
from nwbpipe.simulate.scores import event_error_ms


def to_reference(session: SimulatedSession, times: pd.Series) -> np.ndarray:
    """Carry the behaviour computer's times to the reference by DESIGN.md's formula."""
    offset, drift = session.offsets_s["behavior"], session.drifts_ppm["behavior"]
    assert abs(offset) > 1.0
    assert abs(drift) > 10.0
    return times.to_numpy() * (1 + drift * 1e-6) + offset


def test_trials_are_in_the_behaviour_computers_clock(simulated: SimulatedSession):
    table = pd.read_csv(simulated.trials)
    truth = simulated.behavior
    assert list(table.columns) == ["start_time", "stop_time", "side", "outcome", "reward_ul"]
    assert event_error_ms(truth.trial_start, to_reference(simulated, table["start_time"])) <= 0.051
    assert event_error_ms(truth.trial_stop, to_reference(simulated, table["stop_time"])) <= 0.051
    assert tuple(table["side"]) == truth.trial_side
    assert tuple(table["outcome"]) == truth.trial_outcome
    assert (truth.trial_start[1:] > truth.trial_stop[:-1]).all()


def test_events_are_in_the_behaviour_computers_clock(simulated: SimulatedSession):
    table = pd.read_csv(simulated.events)
    truth = simulated.behavior
    assert list(table.columns) == ["name", "time"]
    assert tuple(table["name"]) == truth.event_names
    assert event_error_ms(truth.event_times, to_reference(simulated, table["time"])) <= 0.051
    assert set(truth.event_names) == {"cue", "lick", "reward"}
    assert (np.diff(truth.event_times) >= 0).all()


def test_every_trial_has_its_cue_and_every_hit_its_reward(simulated: SimulatedSession):
    truth = simulated.behavior
    names = np.array(truth.event_names)
    for start, stop, outcome in zip(truth.trial_start, truth.trial_stop, truth.trial_outcome, strict=True):
        inside = names[(truth.event_times >= start) & (truth.event_times < stop + 0.03)].tolist()
        assert inside.count("cue") == 1
        assert inside.count("reward") == (1 if outcome == "hit" else 0)


def test_neuroconv_opens_the_trials(simulated: SimulatedSession):
    from neuroconv.datainterfaces import CsvTimeIntervalsInterface

    interface = CsvTimeIntervalsInterface(file_path=simulated.trials)
    table = pd.read_csv(simulated.trials)
    np.testing.assert_array_equal(interface.get_timestamps("start_time"), table["start_time"])
