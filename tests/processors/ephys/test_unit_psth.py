"""Rates of units around events, for a unit that responds and one that does not."""

import numpy as np
import pynwb
import pytest
from pydantic import ValidationError

from nwbpipe.errors import InputError
from nwbpipe.processors.ephys import UnitPsthParams
from nwbpipe.processors.ephys._unit_psth_compute import adjust, compare_rates, select_events
from nwbpipe.run import process
from tests.processors.ephys import recording as rec


def write_units(path):
    """100 events a second apart; from 0.1 to 0.3 s after each, the first unit fires 4 times its 10 Hz."""
    rng = np.random.default_rng(1)
    events = 1.0 + np.arange(100.0)
    time = np.sort(rng.uniform(0, 102, rng.poisson(40 * 102)))
    since = (time - 1.0) % 1.0
    fast = (since > 0.1) & (since < 0.3) & (time > 1.0) & (time < 101.0)
    responding = time[fast | (rng.random(len(time)) < 0.25)]
    steady = np.sort(rng.uniform(0, 102, 1000))
    with rec.opened(rec.write_session(path, np.zeros((10, 2), "int16")), "a") as nwbfile:
        nwbfile.add_unit_column("quality", "Any.")
        for train, end in ((responding, 102.0), (steady, 50.2)):
            nwbfile.add_unit(spike_times=train, obs_intervals=[[0.0, end]], quality="x")
        nwbfile.add_trial_column("side", "The side.")
        for number, event in enumerate(events):
            nwbfile.add_trial(start_time=event, stop_time=event + 0.5, side=("left", "right")[number % 2])
    return path, events, responding


def test_a_response_is_found_with_its_rate_and_time(tmp_path):
    path, events, train = write_units(tmp_path / "s.nwb")
    params = {"kind_column": "side", "bin_s": 0.1, "after_s": 0.5, "response_s": [0.1, 0.3]}
    process(path, "unit_psth", params=params)
    assert pynwb.validate(path=path) == []
    with rec.opened(path) as nwbfile:
        table = nwbfile.processing["ecephys"]["Psth_unit_psth"]
        found = {name: table[name].data[:] for name in table.colnames}
        assert table["unit"].table is nwbfile.units
    assert found["event_type"].tolist() == ["left", "left", "right", "right"]
    assert found["unit"].tolist() == [0, 1, 0, 1]
    assert found["n_trials"].tolist() == [50, 25, 50, 24]  # 50.2 s: the window of the 50th event is not whole
    left = np.array(
        [[np.sum(np.abs(train - event - lag) < 0.05) for lag in found["lag_s"][0]] for event in events[::2]]
    )
    np.testing.assert_allclose(found["lag_s"][0], np.arange(-0.45, 0.5, 0.1))
    np.testing.assert_allclose(found["rate"][0], left.mean(axis=0) / 0.1)
    np.testing.assert_allclose(found["sem"][0], left.std(axis=0, ddof=1) / 0.1 / np.sqrt(50))
    np.testing.assert_allclose(found["response_rate"][::2], 40.0, atol=4.0)
    np.testing.assert_allclose(found["baseline_rate"][::2], 10.0, atol=2.0)
    assert (found["p_adjusted"][::2] < 1e-4).all()
    assert (found["p_adjusted"][1::2] > 0.05).all()
    with pytest.raises(InputError, match="no event is called 'middle'"):
        process(path, "unit_psth", step="other", params={"kind_column": "side", "kinds": ["middle"]})
    with pytest.raises(InputError, match="no column 'sides'"):
        process(path, "unit_psth", step="other", params={"kind_column": "sides"})


def test_p_values_are_adjusted_for_all_tests():
    np.testing.assert_allclose(adjust(np.array([[0.01, 0.04], [np.nan, 0.03]])), [[0.03, 0.04], [np.nan, 0.04]])
    assert np.isnan(compare_rates(np.ones(4), np.zeros(4)))
    assert compare_rates(np.ones(9), np.ones(9)) == 1.0


def test_events_of_no_time_or_in_a_gap_do_not_count():
    observed = np.array([[0.0, 2.0], [3.0, 9.0]])
    events = np.array([0.2, 1.0, 1.8, 2.5, 3.5, np.nan])
    assert select_events(events, observed, -0.5, 0.5).tolist() == [1.0, 3.5]
    assert select_events(events, None, -0.5, 0.5).tolist() == events[:5].tolist()


def test_a_window_outside_is_refused():
    with pytest.raises(ValidationError, match="response_s is 0 to 2 s; expected a window within"):
        UnitPsthParams(response_s=(0.0, 2.0))
