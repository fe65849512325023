"""event_windows: every rule against windows worked out by hand."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

import nwbpipe
from nwbpipe.errors import InputError
from nwbpipe.processors.behavior import EventWindowsParams
from nwbpipe.processors.behavior import _event_windows_compute as module
from nwbpipe_kit.windows import assign_rows
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


@pytest.mark.parametrize("zero", [0.0, 1.7e9])
def test_an_event_at_the_end_of_its_trial(zero):
    starts = zero + np.cumsum(np.full(40, 7.1))
    ends = starts + 2.3
    after = np.array([np.nextafter(end, np.inf) for end in ends])  # the same time, summed otherwise
    names = np.full(40, "choice", dtype=object)
    params = EventWindowsParams(alignment_event="choice", stop_shift_s=1).model_dump()
    trials = np.stack([starts, ends], axis=1)
    _, aligned, trial, dropped = module.find_windows(after, names, trials, params)
    assert (trial.tolist(), dropped) == (list(range(40)), [])
    np.testing.assert_array_equal(aligned, after)


def test_an_event_belongs_to_the_trial_that_its_table_says():
    trials, ids = np.array([[0.0, 4.0], [4.0, 8.0], [8.0, 9.0]]), np.array([10, 11, 12])
    times = np.array([4.0, 8.001, 8.5])  # at a bound of two; after its trial's stamped end; well inside
    rows = assign_rows(times, trials, ids, np.array([11, 11, 12]))
    params = EventWindowsParams(alignment_event="choice", stop_shift_s=1).model_dump()
    names = np.full(3, "choice", dtype=object)
    assert module.find_windows(times, names, trials, params, rows)[2].tolist() == [1, 1, 2]
    assert assign_rows(times, trials, ids, np.array([1, 2, 3])) is None  # numbered otherwise: no id of a trial
    assert assign_rows(times, trials, np.array([1, 2, 3]), np.array([1, 1, 1])) is None  # denied by the times


def test_a_window_without_length_is_refused():
    with pytest.raises(ValidationError, match="has no length"):
        EventWindowsParams(alignment_event="choice")


def test_the_column_of_trials_in_a_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["log/timestamp"] = np.array([5.0011, 15.0])
        file["log/trial"] = np.array([7, 8])
        file["log/event_type"] = np.array(["choice", "choice"], dtype=h5py.string_dtype())
        file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = TRIALS[:2].T
        file["intervals/trials/id"] = np.array([7, 8])
    inputs = {
        "events": {"file": tmp_path / "a.h5", "path": "log"},
        "trials": {"file": tmp_path / "a.h5", "path": "intervals/trials"},
    }
    params = EventWindowsParams(alignment_event="choice", stop_shift_s=1).model_dump()
    with h5py.File(tmp_path / "results.h5", "w") as results:
        request = {"inputs": inputs, "params": params, "facts": {"only_name": "log"}}
        module.compute(request, results, lambda share, text: None)
        assert results["trial"][()].tolist() == [0, 1]


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
