"""event_windows: every rule against windows worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors.behavior import EventWindowsParams
from nwbpipe.processors.behavior import _event_windows_compute as module
from tests.processors.behavior.session import write_session

pytest_plugins = ("tests.fixtures.processing",)

# cue, choice, reward of three trials; the second has no reward, the third no cue, and a choice out of any trial.
TIMES = np.array([1.0, 2.0, 2.5, 11.0, 12.0, 22.0, 23.0, 29.0])
NAMES = np.array(["cue", "choice", "reward", "cue", "choice", "choice", "reward", "choice"], dtype=object)
TRIALS = np.array([[0.0, 5.0], [10.0, 15.0], [20.0, 25.0]])


def found(trials=TRIALS, **params):
    values = EventWindowsParams(**{"alignment_event": "choice", **params}).model_dump()
    bounds, aligned, trial, dropped = module.find_windows(TIMES, NAMES, trials, values)
    return bounds.tolist(), aligned.tolist(), trial.tolist(), dropped


def test_between_events_of_the_trial():
    bounds, aligned, trial, dropped = found(
        start_event="cue", start_shift_s=-0.5, stop_event="reward", stop_shift_s=1.0
    )
    assert bounds == [[0.5, 3.5]]
    assert (aligned, trial) == ([2.0], [0])
    assert dropped == [(1, module.NO_STOP), (2, module.NO_START)]


def test_around_the_event_itself():
    bounds, aligned, trial, dropped = found(start_shift_s=-1, stop_shift_s=2, alignment_shift_s=0.25)
    assert bounds == [[1, 4], [11, 14], [21, 24]]
    assert aligned == [2.25, 12.25, 22.25]
    assert (trial, dropped) == ([0, 1, 2], [])


def test_to_the_bounds_of_the_trial():
    bounds, *_ = found(start_event="trial", stop_event="trial")
    assert bounds == [[0, 5], [10, 15], [20, 25]]


def test_without_trials_the_session_is_one():
    bounds, _, trial, dropped = found(np.array([[-np.inf, np.inf]]), start_event="cue", stop_event="reward")
    # The last choice has a cue before it, in another trial, and no reward after.
    assert bounds == [[1, 2.5], [11, 23], [11, 23]]
    assert trial == [0, 0, 0]
    assert dropped == [(0, module.NO_STOP)]


@pytest.mark.parametrize(("which", "aligned"), [("first", [2.0]), ("last", [29.0]), ("every", [2, 12, 22, 29])])
def test_which_of_several(which, aligned):
    assert found(np.array([[0.0, 30.0]]), which=which, stop_shift_s=1)[1] == aligned


def test_events_on_the_bounds_of_a_trial_and_at_one_time_count():
    bounds, *_ = found(np.array([[2.0, 2.5]]), start_event="choice", stop_event="reward")
    assert bounds == [[2.0, 2.5]]


def test_what_is_missing_or_reversed_is_dropped_with_its_reason():
    assert found(np.array([[6.0, 7.0]]), stop_shift_s=1)[3] == [(0, module.NO_ALIGNMENT)]
    dropped = found(start_event="cue", stop_event="reward", start_shift_s=3)[3]
    assert (0, module.REVERSED) in dropped


def test_a_window_without_length_is_refused():
    with pytest.raises(ValidationError, match="has no length"):
        EventWindowsParams(alignment_event="choice")


def test_in_a_file(tmp_path):
    path = write_session(
        tmp_path / "a.nwb", events=(TIMES, list(NAMES)), trials=(TRIALS[:, 0], TRIALS[:, 1]), ids=[7, 8, 9]
    )
    params = {"alignment_event": "choice", "start_event": "cue", "stop_event": "reward", "stop_shift_s": 1}
    run = nwbpipe.process(path, "event_windows", params=params, inputs={"trials": "intervals/trials"})
    assert run.computed
    assert not nwbpipe.process(path, "event_windows", params=params, inputs={"trials": "intervals/trials"}).computed
    with nwbpipe.read(path) as nwbfile:
        windows = nwbfile.processing["behavior"]["AlignmentWindows_event_windows"]
        assert windows["start_time"].data[:].tolist() == [1.0]
        assert windows["stop_time"].data[:].tolist() == [3.5]
        assert windows["alignment_time"].data[:].tolist() == [2.0]
        assert windows["trial"].data[:].tolist() == [7]
        dropped = nwbfile.processing["behavior"]["DroppedTrials_event_windows"]
        assert dropped["trial"].data[:].tolist() == [8, 9]
        assert dropped["reason"][0] == module.NO_STOP
    with pytest.raises(InputError, match="no event is called 'lick'") as caught:
        nwbpipe.process(path, "event_windows", step="b", params={**params, "alignment_event": "lick"})
    assert "choice, cue, reward" in caught.value.problem.expected
    with pytest.raises(InputError, match="no trials are bound"):
        nwbpipe.process(path, "event_windows", step="b", params={**params, "start_event": "trial"})
